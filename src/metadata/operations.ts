import { blobWrites } from './blobs.ts'
import type { Db } from './database.ts'
import { manifestWrites } from './manifest-writes.ts'

/**
 * Every write, by name. The writer's thread makes them once, and runs each call in a savepoint of its own.
 * One that answers `replaced` has changed or hidden something that could be read before.
 */
export function operations(db: Db) {
  return { ...blobWrites(db), ...manifestWrites(db) }
}

export type Operations = ReturnType<typeof operations>
export type OperationName = keyof Operations
