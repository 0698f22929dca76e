import { useLocation } from 'preact-iso'
import { Tabs } from '../../parts/forms/tabs.tsx'
import { PageHeader } from '../../parts/page-header.tsx'
import { caller } from '../../server/session.ts'
import { AccessQuestion } from './access-question.tsx'
import { Grants } from './grants.tsx'
import { Groups } from './groups.tsx'
import { Me } from './me.tsx'
import { Robots } from './robots.tsx'
import { Users } from './users.tsx'

const parts: [path: string, name: string, isForAdmins: boolean][] = [
  ['/accounts', 'Users', true],
  ['/accounts/robots', 'Robots', false],
  ['/accounts/groups', 'Groups', true],
  ['/accounts/grants', 'Grants', false],
  ['/accounts/access', 'Who may do what', false],
  ['/accounts/me', 'My account', false],
]

/** Accounts, and what they may do. */
export function Accounts() {
  const { path } = useLocation()
  const { admin = false, account } = caller.value ?? {}
  const shown = parts.filter(
    ([to, , isForAdmins]) => (admin || !isForAdmins) && (account !== undefined || to !== '/accounts/me'),
  )
  const current = shown.find(([to]) => to === path)?.[0] ?? shown[0]?.[0] ?? ''
  return (
    <>
      <PageHeader title="Accounts" />
      <Tabs label="Parts of accounts" current={current} tabs={shown.map(([to, name]) => [to, name])} />
      {current === '/accounts' && <Users />}
      {current === '/accounts/robots' && <Robots />}
      {current === '/accounts/groups' && <Groups />}
      {current === '/accounts/grants' && <Grants />}
      {current === '/accounts/access' && <AccessQuestion />}
      {current === '/accounts/me' && <Me />}
    </>
  )
}
