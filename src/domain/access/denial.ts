import type { RepositoryName } from '../../oci/reference.ts'
import type { Action, Identity } from './access.ts'

/** Each action as people say it, and the least role that allows it. */
const ACTIONS: Record<Action, [verb: string, role: string]> = {
  pull: ['pull from', 'reader'],
  push: ['push to', 'writer'],
  delete: ['delete in', 'admin'],
}

/**
 * Says everything that an account lacks for an action: `alice+ci may not push to team/app: needs writer; its owner alice
 * needs writer`. It depends only on what the account may do, so it does not reveal whether the repository exists.
 */
export function denial(identity: Identity, action: Action, repository: RepositoryName): string {
  const { account = 'anonymous', isAdmin, granted, limits } = identity
  const needs = `needs ${ACTIONS[action][1]}`
  const lacking = [
    ...(isAdmin || granted.allows(action, repository) ? [] : [needs]),
    ...limits.flatMap(({ of, permissions }) =>
      permissions.allows(action, repository) ? [] : [`${of} ${needs}`],
    ),
  ]
  return `${account} may not ${deedOf(action, repository)}: ${lacking.join('; ')}`
}

/** Names an action in a repository, such as `push to team/app`. */
export function deedOf(action: Action, repository: RepositoryName): string {
  return `${ACTIONS[action][0]} ${repository}`
}
