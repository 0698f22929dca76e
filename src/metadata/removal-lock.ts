import { join } from 'node:path'
import { tryLock } from './lock.ts'

/** How long a backup waits for a batch of the collector. */
const WAIT_MILLISECONDS_MAX = 10_000

/** The lock that a backup and the removal of bytes by the collector take in turns. */
function lockFile(data: string): string {
  return join(data, 'removal-lock')
}

/**
 * Keeps the collector of a data folder, in this process or another one, from removing bytes until the returned function
 * is called or the process ends.
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
