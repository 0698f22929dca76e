import { caller } from '../session.ts'
import { PushHelp } from './push-help.tsx'
import { Command } from './values.tsx'

/** What to do after the first start, when nothing has been pushed. */
export function FirstSteps() {
  const { origin, protocol, host } = location
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
        {protocol === 'https:' && (
          <li>
            Trust its certificate on each host:{' '}
            <Command text={`curl -k ${origin}/ca.crt -o /etc/docker/certs.d/${host}/ca.crt`} />
          </li>
        )}
        <li>
          <PushHelp />
        </li>
      </ol>
    </>
  )
}
