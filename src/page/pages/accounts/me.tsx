import { Card } from '../../parts/card.tsx'
import { FormButton } from '../../parts/forms/form-dialog.tsx'
import { Facts, Time } from '../../parts/tables/values.tsx'
import { attempt } from '../../parts/toast.tsx'
import { Tokens } from '../../parts/tokens.tsx'
import { change } from '../../server/api.ts'
import { caller, loadCaller } from '../../server/session.ts'

/** The caller's own account: its password and its tokens. */
export function Me() {
  const { account, admin, session } = caller.value ?? {}
  if (account === undefined) return null
  return (
    <div class="cards">
      <Card title={account}>
        <Facts
          of={{
            Role: admin ? 'Server admin' : 'User',
            'Signed in until': session && <Time at={session.expiresAt} />,
          }}
        />
        <div class="actions">
          <FormButton
            label="Change the password"
            isPrimary={false}
            action="Change"
            fields={[
              { name: 'currentPassword', label: 'Current password', type: 'password' },
              { name: 'password', label: 'New password', type: 'password', help: 'At least 8 characters.' },
            ]}
            submit={async ({ currentPassword = '', password = '' }) => {
              await change('patch', 'users/:name', {
                params: { name: account },
                body: { currentPassword, password },
              })
              await attempt(loadCaller, 'The password is changed. Sign in with the new one.')
            }}
          >
            <p class="muted">This signs you out everywhere.</p>
          </FormButton>
        </div>
      </Card>
      <Card title="Tokens">
        <Tokens account={account} />
      </Card>
    </div>
  )
}
