import { matchesPattern, type RepositoryPattern } from '../metadata/accounts/repository-pattern.ts'
import { type Pullable, repositoriesOf } from '../metadata/content/pullable.ts'
import type { RepositoryName } from '../oci/reference.ts'
import type { Access, Action, Identity, Permission } from './access.ts'

/** Who may do what, by grants: they add up, and each limit of the credential must agree. */
export const grantedAccess: Access = {
  isOpen: false,

  may: (identity, action, repository) =>
    (identity.isAdmin || allows(identity.granted, action, repository)) &&
    identity.limits.every((limit) => allows(limit, action, repository)),

  pullable: (identity) => allowed(identity, 'pull'),

  deletable: (identity) => allowed(identity, 'delete'),
}

function allowed({ isAdmin, granted, limits }: Identity, action: Action): Pullable {
  return repositoriesOf([...limits, ...(isAdmin ? [] : [granted])].map((list) => patternsOf(list, action)))
}

function allows(permissions: readonly Permission[], action: Action, repository: RepositoryName): boolean {
  return permissions.some(
    ({ pattern, actions }) => actions.has(action) && matchesPattern(pattern, repository),
  )
}

function patternsOf(permissions: readonly Permission[], action: Action): RepositoryPattern[] {
  return permissions.filter(({ actions }) => actions.has(action)).map(({ pattern }) => pattern)
}
