import { LogIn, LogOut } from 'lucide-preact'
import { destinationOf, destinations, isOpenTo } from '../destinations.ts'
import { caller, signOut } from '../server/session.ts'
import { ThemeChoice } from './forms/theme-choice.tsx'
import { attempt } from './toast.tsx'

/** Where the caller can go, the theme, and who the caller is. */
export function Navigation({ path, isOpen }: { path: string; isOpen: boolean }) {
  return (
    <nav class={isOpen ? 'side open' : 'side'} aria-label="Main">
      <Destinations path={path} />
      <Account />
    </nav>
  )
}

function Destinations({ path }: { path: string }) {
  const current = destinationOf(path)
  const shown = destinations.filter((one) => isOpenTo(one, caller.value))
  return (
    <ul>
      {shown.map(({ path: to, name, icon: Icon }) => (
        <li key={to}>
          <a href={to} aria-current={to === current?.path ? 'page' : undefined}>
            <Icon aria-hidden /> {name}
          </a>
        </li>
      ))}
    </ul>
  )
}

function Account() {
  const { account, admin = false, openAccess = false } = caller.value ?? {}
  const role = openAccess ? 'Open access' : admin ? 'Server admin' : account ? 'User' : 'Not signed in'
  return (
    <div class="account">
      <ThemeChoice />
      <div class="who">
        <span class="avatar" aria-hidden>
          {(account ?? '?').slice(0, 1)}
        </span>
        <span class="who-name">
          <b>{account ?? 'Anonymous'}</b>
          <small>{role}</small>
        </span>
        {account && (
          <button type="button" class="icon-button" aria-label="Sign out" onClick={() => attempt(signOut)}>
            <LogOut aria-hidden />
          </button>
        )}
        {account === undefined && !openAccess && (
          <a class="icon-button" href="/sign-in" aria-label="Sign in" title="Sign in">
            <LogIn aria-hidden />
          </a>
        )}
      </div>
    </div>
  )
}
