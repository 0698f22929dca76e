import { useState } from 'preact/hooks'
import { change } from '../server/api.ts'
import { useList } from '../server/resource.ts'
import { visible } from '../values/format.ts'
import { Dialog } from './forms/dialog.tsx'
import { FormButton } from './forms/form-dialog.tsx'
import { Failure } from './states.tsx'
import { Command, Time } from './tables/values.tsx'
import { attemptIfSure } from './toast.tsx'

/** Opens the tokens of an account. */
export function TokensButton({ account }: { account: string }) {
  const [isOpen, setOpen] = useState(false)
  return (
    <>
      <button type="button" aria-label={`Tokens: ${account}`} onClick={() => setOpen(true)}>
        Tokens
      </button>
      {isOpen && (
        <Dialog title={`Tokens of ${account}`} onClose={() => setOpen(false)}>
          <Tokens account={account} />
        </Dialog>
      )}
    </>
  )
}

/** The tokens of an account. The secret of a new one is shown once. */
export function Tokens({ account }: { account: string }) {
  const [secret, setSecret] = useState('')
  const pages = useList('accounts/:account/tokens', { params: { account } })
  const create = async ({ name = '', days = '' }: Record<string, string>) => {
    const token = await change('post', 'accounts/:account/tokens', {
      params: { account },
      body: { name, ...(days !== '' && { expiresInDays: Number(days) }) },
    })
    setSecret(token.secret)
  }
  return (
    <div class="tokens">
      {secret !== '' && <Secret account={account} secret={secret} />}
      <ul class="lines">
        {pages.items.map(({ id, name, createdAt, expiresAt, lastUsedAt }) => (
          <li key={id} class="between">
            <span>
              <b>{visible(name)}</b>{' '}
              <small>
                created <Time at={createdAt} />, last used <Time at={lastUsedAt} />, expires{' '}
                <Time at={expiresAt} />
              </small>
            </span>
            <button
              type="button"
              class="danger"
              aria-label={`Revoke: ${name}`}
              onClick={() => revoke(account, id, name)}
            >
              Revoke
            </button>
          </li>
        ))}
      </ul>
      {pages.error && <Failure error={pages.error} retry={pages.more} />}
      {!pages.isLoading && !pages.error && pages.items.length === 0 && <p class="muted">No tokens</p>}
      {pages.hasMore && (
        <button type="button" onClick={pages.more}>
          Show more
        </button>
      )}
      <FormButton
        label="Create a token"
        title={`Create a token for ${account}`}
        action="Create"
        fields={[
          { name: 'name', label: 'What it is for', placeholder: 'laptop' },
          {
            name: 'days',
            label: 'Expires',
            options: { '30': 'In 30 days', '90': 'In 90 days', '365': 'In a year', '': 'Never' },
            value: '90',
          },
        ]}
        submit={create}
      />
    </div>
  )
}

function revoke(account: string, id: string, name: string): Promise<boolean> {
  return attemptIfSure(
    {
      title: 'Revoke the token?',
      text: `Clients that use the token "${visible(name)}" of ${account} are refused from now on. This cannot be undone.`,
      action: 'Revoke the token',
    },
    () => change('delete', 'accounts/:account/tokens/:id', { params: { account, id } }),
    'The token is revoked',
  )
}

/** A new token, which is shown only now. */
function Secret({ account, secret }: { account: string; secret: string }) {
  return (
    <div class="secret" role="status">
      <p>
        <b>Copy the token now.</b> It is not shown again.
      </p>
      <Command text={secret} />
      <p class="muted">Sign in with it:</p>
      <Command text={`docker login ${location.host} -u ${account} -p ${secret}`} />
    </div>
  )
}
