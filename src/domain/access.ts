import type { RepositoryName } from '../oci/reference.ts'
import type { RepositorySet } from './repository-set.ts'

export type Action = 'pull' | 'push' | 'delete'

/** What somebody may do in which repositories. */
export interface Permissions {
  /** Whether nothing is allowed anywhere. */
  readonly isEmpty: boolean
  allows(action: Action, repository: RepositoryName): boolean
  /** The repositories in which this is allowed. */
  repositories(action: Action): RepositorySet
}

/** An account, as one of its credentials proved it; without one, anonymous. */
export interface Identity {
  account: string | undefined
  /** The account's id, where it is one of the database. */
  accountId: number | undefined
  credential: string | undefined
  /** A server admin may do all. */
  isAdmin: boolean
  /** What is granted now, whenever it is asked. */
  granted: Permissions
  /** What narrows it (a robot's owner, a token's scope): each of these must allow it, too. */
  limits: readonly Permissions[]
  /** What a short-lived token was asked for; undefined for other credentials, which are good for all of it. */
  token: TokenScope | undefined
}

/** The scope of a short-lived token: actions by repository, and whether it is for the catalog. */
export interface TokenScope {
  repositories: ReadonlyMap<string, ReadonlySet<string>>
  catalog: boolean
}

const NOTHING: Permissions = {
  isEmpty: true,
  allows: () => false,
  repositories: () => ({ has: () => false, seek: () => undefined }),
}

/** Somebody without a credential, to whom nothing is granted. */
export const NOBODY: Identity = Object.freeze({
  account: undefined,
  accountId: undefined,
  credential: undefined,
  isAdmin: false,
  granted: NOTHING,
  limits: [],
  token: undefined,
})

/** Whether the token at hand was asked for this; other credentials need not be. */
export function isInScope({ token }: Identity, action: Action, repository: RepositoryName): boolean {
  if (token === undefined) return true
  const actions = token.repositories.get(repository)
  return actions !== undefined && (actions.has('*') || actions.has(action))
}

/** The questions that decide who may do what. */
export interface Access {
  /** Nobody is asked who they are. */
  isOpen: boolean
  /** May this identity do this here? */
  may(identity: Identity, action: Action, repository: RepositoryName): boolean
  /** From which repositories may this identity pull? */
  pullable(identity: Identity): RepositorySet
  /** In which repositories may this identity delete, and see what was deleted? */
  deletable(identity: Identity): RepositorySet
}
