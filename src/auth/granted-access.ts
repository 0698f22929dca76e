import type { Access, Action, Identity, Permission } from '../domain/access.ts'
import { matchesPattern, type RepositoryPattern } from '../domain/repository-pattern.ts'
import type { RepositorySet } from '../domain/repository-set.ts'
import type { RepositoryName } from '../oci/reference.ts'

/** Who may do what, by grants: they add up, and each limit of the credential must agree. */
export const grantedAccess: Access = {
  isOpen: false,

  may: (identity, action, repository) =>
    (identity.isAdmin || allows(identity.granted, action, repository)) &&
    identity.limits.every((limit) => allows(limit, action, repository)),

  pullable: (identity) => allowed(identity, 'pull'),

  deletable: (identity) => allowed(identity, 'delete'),
}

function allowed({ isAdmin, granted, limits }: Identity, action: Action): RepositorySet {
  return [...limits, ...(isAdmin ? [] : [granted])].map((list) => patternsOf(list, action))
}

function allows(permissions: readonly Permission[], action: Action, repository: RepositoryName): boolean {
  return permissions.some(
    ({ pattern, actions }) => actions.has(action) && matchesPattern(pattern, repository),
  )
}

function patternsOf(permissions: readonly Permission[], action: Action): RepositoryPattern[] {
  return permissions.filter(({ actions }) => actions.has(action)).map(({ pattern }) => pattern)
}
