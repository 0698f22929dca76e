import type { Caller } from '../metadata/caller.ts'
import type { Pullable } from '../metadata/repositories.ts'
import type { RepositoryName } from '../oci/reference.ts'

export type Action = 'pull' | 'push' | 'delete'

/** The two questions that decide who may do what. */
export interface Access {
  /** May this caller do this here? */
  may(caller: Caller, action: Action, repository: RepositoryName): boolean
  /** From which repositories may this caller pull? */
  pullable(caller: Caller): Pullable
}
