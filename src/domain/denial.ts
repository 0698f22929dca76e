import type { RepositoryName } from '../oci/reference.ts'
import type { Action, Identity } from './access.ts'

/** Each action as people say it, and the least role that allows it. */
const ACTIONS: Record<Action, [verb: string, role: string]> = {
  pull: ['pull from', 'reader'],
  push: ['push to', 'writer'],
  delete: ['delete in', 'admin'],
}

/**
 * Says what an account lacks for an action: `alice+ci may not push to team/app: needs writer`. It depends only on what the
 * account may do, so that it does not reveal whether the repository exists.
 */
export function denial(identity: Identity, action: Action, repository: RepositoryName): string {
  const { account = 'anonymous', isAdmin, granted } = identity
  const [verb, role] = ACTIONS[action]
  const isGranted = isAdmin || granted.allows(action, repository)
  const limit = account.includes('+') ? "its owner or its token's scope" : "its token's scope"
  return `${account} may not ${verb} ${repository}: ${isGranted ? `${limit} does not allow it` : `needs ${role}`}`
}
