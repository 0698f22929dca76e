import type { Write } from '../domain/access/caller.ts'
import type { PurgeBatch, PurgeTarget } from '../metadata/garbage/purge.ts'
import type { CollectorOptions } from './collector-options.ts'

/** How many rows one call of the writer changes at most. */
const BATCH_ROWS_MAX = 100

export interface Purge extends PurgeTarget {
  act: Pick<Write, 'caller'>
}

/** What a purge has deleted permanently. */
export interface Purged {
  repositories: number
  manifests: number
  /** Set if pushes were recent: until then, the content of repositories that are not deleted may stay. */
  heldUntil: number | undefined
}

/**
 * Ends the undo window. Content that loses its last reference is dated by the last push, so it is collected
 * immediately, or one grace period after that push. During a write, a client that can push may learn that content
 * exists without leaving a mark. So the marks are corrected after each write, before the collector can see them.
 */
export async function endWindows(
  options: CollectorOptions,
  { act, repository, digest }: Purge,
  signal: AbortSignal,
): Promise<Purged> {
  const { metadata, now, steady, garbageWindow, activity } = options
  const purged = { repositories: 0, manifests: 0 }
  const write = async (name: 'expireWindows' | 'purgeManifests'): Promise<PurgeBatch> => {
    const pushedAt = activity.last(repository)
    const call = { ...act, repository, digest, at: now(), until: steady(), garbageWindow, pushedAt }
    const batch = await metadata.write(name, { ...call, limit: BATCH_ROWS_MAX })
    const newerAt = activity.last(repository)
    if (newerAt > pushedAt)
      await metadata.write('postponePurged', { repository, garbageWindow, pushedAt, newerAt })
    return batch
  }
  const all = async (name: 'expireWindows' | 'purgeManifests'): Promise<number> => {
    let manifests = 0
    let more = true
    while (more && !signal.aborted) {
      const batch = await write(name)
      purged.repositories += batch.repositories
      manifests += batch.manifests
      more = batch.more && batch.manifests + batch.repositories + batch.tags > 0
    }
    return manifests
  }
  // Removing an index can remove the last reference to its entries.
  do {
    await all('expireWindows')
    const removed = await all('purgeManifests')
    purged.manifests += removed
    if (removed === 0) break
  } while (!signal.aborted)
  const heldUntil = activity.last(repository) + 2 * garbageWindow.graceMs
  return { ...purged, heldUntil: heldUntil - garbageWindow.graceMs > steady() ? heldUntil : undefined }
}
