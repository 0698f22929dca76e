import { useSignal } from '@preact/signals'
import { AccessAnswer, AccountInput } from '../../parts/access-answer.tsx'
import { caller } from '../../server/session.ts'

/** What an account may do in this repository, and why. */
export function RepositoryAccess({ name, mayDelete }: { name: string; mayDelete: boolean }) {
  const { account = '', admin = false } = caller.value ?? {}
  const asked = useSignal(account)
  return (
    <section class="card">
      <h2>Who may do what</h2>
      {(admin || mayDelete) && (
        <form
          class="inline"
          onSubmit={(event) => {
            event.preventDefault()
            asked.value = String(new FormData(event.currentTarget).get('account')).trim()
          }}
        >
          <AccountInput value={account} />
          <button type="submit">Ask</button>
        </form>
      )}
      <AccessAnswer account={asked.value} repository={name} />
    </section>
  )
}
