import {
  Activity,
  CloudDownload,
  FolderGit2,
  House,
  type LucideIcon,
  Settings,
  Users,
  Wrench,
} from 'lucide-preact'
import type { Answer } from './server/api.ts'

interface Destination {
  path: string
  name: string
  icon: LucideIcon
  isFor: 'anybody' | 'account' | 'admin'
}

/** Where a caller can go. */
export const destinations: Destination[] = [
  { path: '/', name: 'Home', icon: House, isFor: 'anybody' },
  { path: '/repositories', name: 'Repositories', icon: FolderGit2, isFor: 'anybody' },
  { path: '/cache', name: 'Cache', icon: CloudDownload, isFor: 'admin' },
  { path: '/accounts', name: 'Accounts', icon: Users, isFor: 'account' },
  { path: '/activity', name: 'Activity', icon: Activity, isFor: 'admin' },
  { path: '/maintenance', name: 'Maintenance', icon: Wrench, isFor: 'admin' },
  { path: '/settings', name: 'Settings', icon: Settings, isFor: 'admin' },
]

/** Returns the destination that a path is at or below. */
export function destinationOf(path: string): Destination | undefined {
  return destinations.find(({ path: to }) => path === to || (to !== '/' && path.startsWith(`${to}/`)))
}

/** Returns whether a caller can use a destination. The server decides each time; this only hides what it would refuse. */
export function isOpenTo({ isFor }: Destination, caller: Answer<'caller'> | undefined): boolean {
  if (isFor === 'anybody' || caller?.admin) return true
  return isFor === 'account' && caller?.account !== undefined
}
