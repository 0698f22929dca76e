import type { Answer } from '../server/api.ts'
import { useAnswer } from '../server/resource.ts'
import { visible } from '../values/format.ts'
import { NameInput } from './forms/inline-form.tsx'
import { Shown } from './states.tsx'

type Explained = Answer<'access'>

const sources: Record<Explained['reasons'][number]['source'], string> = {
  open: 'access is open to everybody',
  'server-admin': 'the account is a server admin',
  'own-namespace': 'the repository is in the namespace of the account',
  account: 'a grant to the account',
  group: 'a grant to a group',
  authenticated: 'a grant to all accounts',
  anonymous: 'a grant to everybody',
}

/** Says what an account may do in a repository, and why. An empty account asks for anonymous callers. */
export function AccessAnswer({ account, repository }: { account: string; repository: string }) {
  const found = useAnswer('access', { query: { repository, account } })
  return (
    <Shown of={found}>
      {({ actions, disabled, reasons, limits }) => (
        <div class="access">
          <p>
            <b>{account === '' ? 'Anonymous callers' : visible(account)}</b> may{' '}
            {actions.length === 0 ? 'do nothing' : <b>{actions.join(', ')}</b>} in <b>{repository}</b>
            {disabled && '. The account is disabled'}.
          </p>
          <ul>
            {reasons.map(({ source, subject, pattern, role, actions }, index) => (
              <li key={index}>
                {actions.join(', ')}: {sources[source]}
                {pattern !== undefined && ` (${visible(subject ?? '')} is ${role} on ${visible(pattern)})`}
              </li>
            ))}
            {limits.map(({ source, name, actions }) => (
              <li key={name}>
                limited to {actions.join(', ') || 'nothing'} by{' '}
                {source === 'owner' ? `its owner ${name}` : `its token ${name}`}
              </li>
            ))}
          </ul>
        </div>
      )}
    </Shown>
  )
}

/** Asks for an account; empty stands for anonymous callers. */
export function AccountInput({ value }: { value: string }) {
  return (
    <NameInput label="Account" name="account" defaultValue={value} placeholder="anonymous" maxLength={129} />
  )
}
