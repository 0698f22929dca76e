import type { RepositoryName } from '../../oci/reference.ts'
import type { RepositorySet } from '../repository-set.ts'

export type Action = 'pull' | 'push' | 'delete'

/** Permissions: which actions are allowed in which repositories. */
export interface Permissions {
  /** Whether nothing is allowed anywhere. */
  readonly isEmpty: boolean
  allows(action: Action, repository: RepositoryName): boolean
  /** The repositories in which this is allowed. */
  repositories(action: Action): RepositorySet
}

/** A limit on what an account may do. */
export interface Limit {
  /** Whose permissions these are, as a denial names them: "its owner bob" or "its token's scope". */
  of: string
  permissions: Permissions
}

/** An account authenticated by one of its credentials, or an anonymous client. */
export interface Identity {
  account: string | undefined
  /** The account's id, if it is in the database. */
  accountId: number | undefined
  credential: string | undefined
  /** A server admin may do everything. */
  isAdmin: boolean
  /** What is granted. Always reflects the current grants. */
  granted: Permissions
  /** Limits of a robot's owner and of a token's scope. Each of them must also allow an action. */
  limits: readonly Limit[]
  /** The scope of a short-lived token. Undefined for other credentials, which have no such scope. */
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

/** An anonymous client without grants. */
export const NOBODY: Identity = Object.freeze({
  account: undefined,
  accountId: undefined,
  credential: undefined,
  isAdmin: false,
  granted: NOTHING,
  limits: [],
  token: undefined,
})

/** Decides who may do what. */
export interface Access {
  /** Whether nobody needs to authenticate. */
  isOpen: boolean
  /** Reports whether the identity may do this in the repository. */
  may(identity: Identity, action: Action, repository: RepositoryName): boolean
  /** Returns the repositories that the identity may pull from. */
  pullable(identity: Identity): RepositorySet
  /** Returns the repositories in which the identity may delete, and see what was deleted. */
  deletable(identity: Identity): RepositorySet
}
