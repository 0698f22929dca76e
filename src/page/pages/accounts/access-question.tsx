import { useState } from 'preact/hooks'
import { AccessAnswer, AccountInput } from '../../parts/access-answer.tsx'
import { Card } from '../../parts/card.tsx'
import { InlineForm, NameInput } from '../../parts/forms/inline-form.tsx'
import { caller } from '../../server/session.ts'

/** Asks what an account may do in a repository. */
export function AccessQuestion() {
  const [asked, setAsked] = useState<Record<string, string> | undefined>(undefined)
  return (
    <Card title="What an account may do">
      <InlineForm submit={setAsked}>
        <AccountInput value={caller.value?.account ?? ''} />
        <NameInput label="Repository" name="repository" required placeholder="team/app" />
        <button type="submit" class="primary">
          Ask
        </button>
      </InlineForm>
      {asked && <AccessAnswer account={asked.account ?? ''} repository={asked.repository ?? ''} />}
    </Card>
  )
}
