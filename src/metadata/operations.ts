import { blobWrites } from './blobs.ts'
import type { Db } from './database.ts'
import { manifestWrites } from './manifest-writes.ts'
import { uploadWrites } from './uploads.ts'

/**
 * Every write, by name. The writer's thread makes them once, and runs each call in a savepoint of its own.
 * One that answers `replaced` has changed or hidden something that could be read before.
 */
export function operations(db: Db) {
  return { ...blobWrites(db), ...manifestWrites(db), ...uploadWrites(db) }
}

export type Operations = ReturnType<typeof operations>
export type OperationName = keyof Operations

/** What is not acknowledged as stored: committed without a sync. A crash of the process loses none of it. */
export const VOLATILE: ReadonlySet<OperationName> = new Set<OperationName>(['startUpload', 'endUpload'])
