import { useSignal } from '@preact/signals'
import { AccessAnswer, AccountInput } from '../../parts/access-answer.tsx'
import { caller } from '../../server/session.ts'

/** Asks what an account may do in a repository. */
export function AccessQuestion() {
  const { account = '' } = caller.value ?? {}
  const asked = useSignal<{ account: string; repository: string } | undefined>(undefined)
  const submit = (event: SubmitEvent) => {
    event.preventDefault()
    const form = new FormData(event.currentTarget as HTMLFormElement)
    asked.value = {
      account: String(form.get('account')).trim(),
      repository: String(form.get('repository')).trim(),
    }
  }
  return (
    <section class="card">
      <h2>What an account may do</h2>
      <form class="inline" onSubmit={submit}>
        <AccountInput value={account} />
        <label>
          Repository
          <input name="repository" required placeholder="team/app" autoCapitalize="none" spellcheck={false} />
        </label>
        <button type="submit" class="primary">
          Ask
        </button>
      </form>
      {asked.value && <AccessAnswer account={asked.value.account} repository={asked.value.repository} />}
    </section>
  )
}
