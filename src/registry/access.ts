import type { Pullable } from '../metadata/repositories.ts'
import type { RepositoryName } from '../oci/reference.ts'

export type Action = 'pull' | 'push' | 'delete'

/** An account, as one of its credentials proved it; without one, anonymous. */
export interface Identity {
  account: string | undefined
  credential: string | undefined
}

export const ANONYMOUS: Identity = Object.freeze({ account: undefined, credential: undefined })

/** The two questions that decide who may do what. */
export interface Access {
  /** May this identity do this here? */
  may(identity: Identity, action: Action, repository: RepositoryName): boolean
  /** From which repositories may this identity pull? */
  pullable(identity: Identity): Pullable
}
