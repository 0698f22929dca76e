import { registryError } from '../oci/error.ts'
import { parseRepositoryName, type RepositoryName } from '../oci/reference.ts'
import type { Access, Action, Identity, Write } from './access.ts'
import type { RepositorySet } from './patterns.ts'

/**
 * Whether an identity may do something. Every surface asks here, and turns the decision into its protocol's response:
 * - `unauthenticated`: not as an anonymous client; with a credential, perhaps;
 * - `out-of-scope`: the account may, but the scope of its short-lived token does not include this;
 * - `denied`: the account may not, with whatever token. `denial` says what it lacks.
 */
type Decision = 'allowed' | 'unauthenticated' | 'out-of-scope' | 'denied'

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

/**
 * Who may call a route. It is declared beside the route and checked before anything is validated or looked up:
 * - `pull`, `push`, `delete`: callers who may do this in the repository in the path;
 * - `catalog`: callers who may see at least something; lists show only what they may pull;
 * - `account`: callers signed in with a credential that is not limited by a scope;
 * - `self`: the account in the path, its owner, or a server admin;
 * - `admin`: server admins;
 * - `session`: browsers with a session, which these routes check themselves;
 * - `anybody`: everyone, even without signing in.
 */
export type AccessRule = Action | 'catalog' | 'account' | 'self' | 'admin' | 'session' | 'anybody'

/** The caller of the admin API and their rights. Each check throws UNAUTHORIZED or DENIED when it fails. */
export interface Principal {
  /** Undefined for an anonymous caller, or when access is open. */
  account: string | undefined
  /** Whether the caller is a server admin with a credential that is not limited by a scope. */
  isAdmin: boolean
  /** Returns the repositories that the caller may pull from, for lists. */
  pullable(): RepositorySet
  /** Returns the repositories in which the caller may delete and restore, for lists of deleted content. */
  deletable(): RepositorySet
  /** Returns the caller, the time and the condition, which every write takes. */
  act(): Write
  /** Requires that the caller may pull from, push to, or delete in a repository. */
  pull(repository: RepositoryName): Write
  push(repository: RepositoryName): Write
  delete(repository: RepositoryName): Write
  may(action: Action, repository: RepositoryName): boolean
  /** Requires that the caller may see at least something. */
  catalog(): Write
  /** Requires a server admin. `what` says in the error what only they may do. */
  admin(what?: string): Write
  /** Requires the account itself, its owner, or a server admin. */
  owner(account: string): Write
  /** Requires an account with a credential that is not limited by a scope. Returns its name. */
  self(): string
}

export interface PrincipalOptions {
  access: Access
  identity: Identity
  act: () => Write
  /** Called for each denial that belongs in the audit log. */
  onRefused: () => void
}

const OUT_OF_SCOPE = "the token's scope does not include this action"

/** Returns the checks for an identity. */
export function principalOf({ access, identity, act, onRefused }: PrincipalOptions): Principal {
  const { account } = identity
  // A credential limited to some repositories cannot manage accounts.
  const isWhole = identity.token === undefined && identity.limits.length === 0
  const isAdmin = access.isOpen || (identity.isAdmin && isWhole)
  const refuse = (who: string, what = 'do this') => {
    if (account === undefined) return unauthorized()
    onRefused()
    return registryError('DENIED', `only ${who} may ${what}`)
  }
  const actIf = (decision: Exclude<Decision, 'denied'>) => {
    if (decision === 'allowed') return act()
    throw unauthorized(decision === 'out-of-scope' ? OUT_OF_SCOPE : undefined)
  }
  const on = (action: Action) => (repository: RepositoryName) => {
    const decision = decide(access, identity, action, repository)
    if (decision === 'denied') {
      onRefused()
      throw registryError('DENIED', denial(identity, action, repository))
    }
    return actIf(decision)
  }
  return {
    account,
    isAdmin,
    pullable: () => access.pullable(identity),
    deletable: () => access.deletable(identity),
    act,
    pull: on('pull'),
    push: on('push'),
    delete: on('delete'),
    may: (action, repository) => decide(access, identity, action, repository) === 'allowed',
    catalog: () => actIf(decideCatalog(access, identity)),
    admin(what) {
      if (isAdmin) return act()
      throw refuse('a server admin', what)
    },
    owner(name) {
      if (isAdmin || (isWhole && account !== undefined && account === ownerOf(name))) return act()
      throw refuse(`${ownerOf(name)} or a server admin`)
    },
    self() {
      if (isWhole && account !== undefined) return account
      throw refuse('an account signed in without a limited token')
    },
  }
}

/** Throws unless the caller satisfies the rule. `params` come from the path and are not validated yet. */
export function enforce(rule: AccessRule, principal: Principal, params: Record<string, unknown>): void {
  switch (rule) {
    case 'anybody':
    case 'session':
      return
    case 'catalog':
      principal.catalog()
      return
    case 'account':
      if (!principal.isAdmin) principal.self()
      return
    case 'self':
      principal.owner(String(params.account ?? params.name))
      return
    case 'admin':
      principal.admin()
      return
    default:
      principal[rule](parseRepositoryName(String(params.repository ?? '')))
  }
}

/** Returns the user that an account belongs to: a robot's owner, or the user itself. */
export function ownerOf(account: string): string {
  return account.split('+', 1)[0] ?? account
}

function unauthorized(message = 'authentication required: use Basic, or a token as Bearer') {
  return registryError('UNAUTHORIZED', message)
}
