import { join } from 'node:path'
import { tryLock } from './lock.ts'

/** How long a backup waits for a batch of garbage collection. */
const WAIT_MILLISECONDS_MAX = 10_000

/** The file of the lock that makes backups and the removal of garbage exclude each other. */
function lockFile(data: string): string {
  return join(data, 'removal-lock')
}

/**
 * Keeps garbage collection of a data folder, in any process, from removing bytes until the returned function is
 * called or this process ends.
 *
 * @throws Error when another backup of the folder is running
 */
export function lockRemovals(data: string): () => void {
  const release = tryLock(lockFile(data), WAIT_MILLISECONDS_MAX)
  if (release !== undefined) return release
  throw new Error(`another backup of ${data} is running: wait until it ends`)
}

/** Returns the lock for one batch of removals, or undefined while a backup is running. */
export function lockForRemoval(data: string): (() => void) | undefined {
  return tryLock(lockFile(data))
}
