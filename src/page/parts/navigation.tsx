import {
  Activity,
  CloudDownload,
  FolderGit2,
  House,
  LogIn,
  LogOut,
  type LucideIcon,
  Settings,
  Users,
  Wrench,
} from 'lucide-preact'
import { caller, signOut } from '../session.ts'
import { ThemeChoice } from './theme-choice.tsx'

interface Destination {
  path: string
  name: string
  icon: LucideIcon
  isFor: 'anybody' | 'account' | 'admin'
}

const destinations: Destination[] = [
  { path: '/', name: 'Home', icon: House, isFor: 'anybody' },
  { path: '/repositories', name: 'Repositories', icon: FolderGit2, isFor: 'anybody' },
  { path: '/cache', name: 'Cache', icon: CloudDownload, isFor: 'admin' },
  { path: '/accounts', name: 'Accounts', icon: Users, isFor: 'account' },
  { path: '/activity', name: 'Activity', icon: Activity, isFor: 'admin' },
  { path: '/maintenance', name: 'Maintenance', icon: Wrench, isFor: 'admin' },
  { path: '/settings', name: 'Settings', icon: Settings, isFor: 'admin' },
]

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
  const { admin = false, account } = caller.value ?? {}
  const shown = destinations.filter(
    ({ isFor }) => isFor === 'anybody' || admin || (isFor === 'account' && account !== undefined),
  )
  return (
    <ul>
      {shown.map(({ path: to, name, icon: Icon }) => {
        const isCurrent = to === '/' ? path === '/' : path === to || path.startsWith(`${to}/`)
        return (
          <li key={to}>
            <a href={to} aria-current={isCurrent ? 'page' : undefined}>
              <Icon aria-hidden /> {name}
            </a>
          </li>
        )
      })}
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
          <button
            type="button"
            class="icon-button"
            aria-label="Sign out"
            title="Sign out"
            onClick={() => signOut()}
          >
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
