import { useState } from 'preact/hooks'
import { AccessAnswer, AccountInput } from '../../parts/access-answer.tsx'
import { Card } from '../../parts/card.tsx'
import { InlineForm } from '../../parts/forms/inline-form.tsx'
import { caller } from '../../server/session.ts'

/** What an account may do in this repository, and why. */
export function RepositoryAccess({ name, mayDelete }: { name: string; mayDelete: boolean }) {
  const { account = '', admin = false } = caller.value ?? {}
  const [asked, setAsked] = useState(account)
  return (
    <Card title="Who may do what">
      {(admin || mayDelete) && (
        <InlineForm submit={(values) => setAsked(values.account ?? '')}>
          <AccountInput value={account} />
          <button type="submit">Ask</button>
        </InlineForm>
      )}
      <AccessAnswer account={asked} repository={name} />
    </Card>
  )
}
