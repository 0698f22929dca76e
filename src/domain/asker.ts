import { registryError } from '../oci/error.ts'
import { parseRepositoryName, type RepositoryName } from '../oci/reference.ts'
import { type Access, type Action, type Identity, isInScope } from './access.ts'
import type { Write } from './caller.ts'
import type { RepositorySet } from './repository-set.ts'

/**
 * Who may ask for a route, declared beside it and checked before anything is validated or looked up:
 * - `pull`, `push`, `delete`: whoever may do this with the repository that the path names;
 * - `catalog`: whoever may see at least something; what is listed is what may be pulled;
 * - `account`: whoever signs in with a whole credential, one that is not narrowed;
 * - `self`: the account that the path names, its owner, or a server admin;
 * - `admin`: a server admin;
 * - `session`: a browser that has one, which its own routes check;
 * - `anybody`: also who does not sign in.
 */
export type AccessRule = Action | 'catalog' | 'account' | 'self' | 'admin' | 'session' | 'anybody'

/** Who asks the admin API, and with what right. Each question throws UNAUTHORIZED or DENIED for a no. */
export interface Asker {
  /** Undefined is anonymous, or a registry that asks nobody. */
  account: string | undefined
  /** Whether a server admin asks, with a whole credential. */
  isAdmin: boolean
  /** The repositories that may be pulled from, for lists. */
  pullable(): RepositorySet
  /** Those in which content may be deleted and brought back, for lists of what was deleted. */
  deletable(): RepositorySet
  /** Who asks, when, and under which condition, for what is written. */
  act(): Write
  /** May pull from, push to, or delete in a repository. */
  pull(repository: RepositoryName): Write
  push(repository: RepositoryName): Write
  delete(repository: RepositoryName): Write
  may(action: Action, repository: RepositoryName): boolean
  /** May see at least something. */
  catalog(): Write
  /** Is a server admin; `what` only they may do. */
  admin(what?: string): Write
  /** Is the account, its owner, or a server admin: a user's robots are the user's. */
  owner(account: string): Write
  /** Is an account, with a whole credential; answers its name. */
  self(): string
}

export interface AskerOptions {
  access: Access
  identity: Identity
  act: () => Write
  /** Told of a refusal that the trail is to know of. */
  onRefused: () => void
}

const OUT_OF_SCOPE = "the token's scope does not include this action"

/** The asker that an identity is. */
export function askerOf({ access, identity, act, onRefused }: AskerOptions): Asker {
  const { account } = identity
  // A credential that is narrowed to some repositories is none for accounts.
  const isWhole = identity.token === undefined && identity.limits.length === 0
  const isAdmin = access.isOpen || (identity.isAdmin && isWhole)
  const refuse = (who: string, what = 'do this') => {
    if (account === undefined) return unauthorized()
    onRefused()
    return registryError('DENIED', `only ${who} may ${what}`)
  }
  const on = (action: Action) => (repository: RepositoryName) => {
    if (access.isOpen) return act()
    if (!access.may(identity, action, repository)) {
      throw refuse(`an account that may ${action} ${repository}`)
    }
    if (!isInScope(identity, action, repository)) throw unauthorized(OUT_OF_SCOPE)
    return act()
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
    may: (action, repository) =>
      access.may(identity, action, repository) && isInScope(identity, action, repository),
    catalog() {
      if (identity.token !== undefined && !identity.token.catalog) throw unauthorized(OUT_OF_SCOPE)
      if (account !== undefined || access.isOpen || !identity.granted.isEmpty) return act()
      throw unauthorized()
    },
    admin(what) {
      if (isAdmin) return act()
      throw refuse('a server admin', what)
    },
    owner(name) {
      if (isAdmin || (isWhole && account !== undefined && account === ownerOf(name))) return act()
      throw refuse(`${ownerOf(name)}, or a server admin,`)
    },
    self() {
      if (isWhole && account !== undefined) return account
      throw refuse('an account, with a credential that is not narrowed,')
    },
  }
}

/** Throws unless the asker is one that the rule names; `params` are those of the path, not validated yet. */
export function enforce(rule: AccessRule, asker: Asker, params: Record<string, unknown>): void {
  switch (rule) {
    case 'anybody':
    case 'session':
      return
    case 'catalog':
      asker.catalog()
      return
    case 'account':
      if (!asker.isAdmin) asker.self()
      return
    case 'self':
      asker.owner(String(params.account ?? params.name))
      return
    case 'admin':
      asker.admin()
      return
    default:
      asker[rule](parseRepositoryName(String(params.repository ?? '')))
  }
}

/** The user that an account belongs to: a robot's owner, or itself. */
export function ownerOf(account: string): string {
  return account.split('+', 1)[0] ?? account
}

function unauthorized(message = 'sign in with Basic, or a token as Bearer') {
  return registryError('UNAUTHORIZED', message)
}
