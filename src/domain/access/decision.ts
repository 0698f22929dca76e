import type { RepositoryName } from '../../oci/reference.ts'
import type { Access, Action, Identity } from './access.ts'

/**
 * Whether an identity may do something. Every surface asks here, and turns the decision into its protocol's response:
 * - `unauthenticated`: not as an anonymous client; with a credential, perhaps;
 * - `out-of-scope`: the account may, but the scope of its short-lived token does not include this;
 * - `denied`: the account may not, with whatever token. `denial` says what it lacks.
 */
export type Decision = 'allowed' | 'unauthenticated' | 'out-of-scope' | 'denied'

/** Decides about an action in a repository, from what the identity may do, and not from what exists. */
export function decide(
  access: Access,
  identity: Identity,
  action: Action,
  repository: RepositoryName,
): Decision {
  if (access.isOpen) return 'allowed'
  const { account, token } = identity
  if (!access.may(identity, action, repository)) return account === undefined ? 'unauthenticated' : 'denied'
  const actions = token?.repositories.get(repository)
  return token === undefined || actions?.has(action) || actions?.has('*') ? 'allowed' : 'out-of-scope'
}

/** Decides about lists of repositories. They are for every account, and for whoever may pull something. */
export function decideCatalog(
  access: Access,
  { account, token, granted }: Identity,
): Exclude<Decision, 'denied'> {
  if (access.isOpen) return 'allowed'
  if (token !== undefined && !token.catalog) return 'out-of-scope'
  return account === undefined && granted.isEmpty ? 'unauthenticated' : 'allowed'
}

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
