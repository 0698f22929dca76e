import type { Item } from './api.ts'

type Stored = Item<'storage/repositories'>
type Candidate = Item<'gc/candidates'>

/** What the bytes of a repository are. */
export interface StorageParts {
  /** Only this repository has them. */
  own: number
  /** Other repositories have them, too. */
  shared: number
  /** They were cached of an upstream, and can be evicted. */
  cached: number
  /** They will be deleted, if nothing changes. */
  deleted: number
}

/** Divides the bytes of repositories. `candidates` is what the collector will delete, `upstreams` the names of those. */
export function storageParts(
  stored: readonly Stored[],
  candidates: readonly Candidate[],
  upstreams: ReadonlySet<string>,
): StorageParts[] {
  const doomed = new Map<string, number>()
  for (const { repository, bytes } of candidates) {
    doomed.set(repository, (doomed.get(repository) ?? 0) + bytes)
  }
  return stored.map(({ repository, bytes, uniqueBytes, deletedAt }) => {
    const deleted = deletedAt === undefined ? Math.min(doomed.get(repository) ?? 0, bytes) : bytes
    const kept = bytes - deleted
    const isCached = upstreams.has(repository.split('/', 1)[0] ?? '')
    if (isCached) return { own: 0, shared: 0, cached: kept, deleted }
    const own = Math.min(Math.max(uniqueBytes - deleted, 0), kept)
    return { own, shared: kept - own, cached: 0, deleted }
  })
}
