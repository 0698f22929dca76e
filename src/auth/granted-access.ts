import type { Access, Action, Identity } from '../domain/access/access.ts'
import { inAll, type RepositorySet } from '../domain/repository-set.ts'

/** Decides access by grants. Grants add up, and every limit of the credential must also allow the action. */
export const grantedAccess: Access = {
  isOpen: false,

  may: (identity, action, repository) =>
    (identity.isAdmin || identity.granted.allows(action, repository)) &&
    identity.limits.every(({ permissions }) => permissions.allows(action, repository)),

  pullable: (identity) => allowed(identity, 'pull'),

  deletable: (identity) => allowed(identity, 'delete'),
}

function allowed({ isAdmin, granted, limits }: Identity, action: Action): RepositorySet {
  const all = [...limits.map(({ permissions }) => permissions), ...(isAdmin ? [] : [granted])]
  return inAll(all.map((one) => one.repositories(action)))
}
