import { caller } from '../server/session.ts'
import { PushHelp } from './forms/push-help.tsx'
import { Command } from './tables/values.tsx'

/** What to do after the first start, when nothing has been pushed. */
export function FirstSteps() {
  return (
    <>
      <h3>First steps</h3>
      <ol class="steps">
        {!caller.value?.openAccess && (
          <li>
            <a href="/accounts/me">Change your password</a>, and <a href="/accounts">add the people</a> who
            use this registry.
          </li>
        )}
        {location.protocol === 'https:' && (
          <li>
            If other hosts do not trust this server's certificate, run this on the server. It prints what to
            run on them: <Command text="cay trust" />
          </li>
        )}
        <li>
          <PushHelp />
        </li>
      </ol>
    </>
  )
}
