import type { Access, Action, Identity, Permission } from '../core/access.ts'
import { matchesPattern, patternsCondition } from '../metadata/accounts/repository-pattern.ts'
import { allOf, EVERYTHING, NOTHING, type Pullable } from '../metadata/content/repositories.ts'
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

function allowed({ isAdmin, granted, limits }: Identity, action: Action): Pullable {
  const conditions = limits.map((limit) => condition(limit, action))
  if (!isAdmin) conditions.push(condition(granted, action))
  return allOf(conditions)
}

function allows(permissions: readonly Permission[], action: Action, repository: RepositoryName): boolean {
  return permissions.some(
    ({ pattern, actions }) => actions.has(action) && matchesPattern(pattern, repository),
  )
}

function condition(permissions: readonly Permission[], action: Action): Pullable {
  const patterns = permissions.filter(({ actions }) => actions.has(action)).map(({ pattern }) => pattern)
  if (patterns.length === 0) return NOTHING
  return patterns.some(({ text }) => text === '**') ? EVERYTHING : patternsCondition(patterns)
}
