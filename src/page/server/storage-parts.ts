import type { Item } from './api.ts'

type Stored = Item<'storage/repositories'>

/** What the bytes of a repository are. */
export interface StorageParts {
  /** Only this repository has them. */
  own: number
  /** Other repositories have them, too. */
  shared: number
  /** They were cached from an upstream, and can be evicted. */
  cached: number
  /** They will be deleted, if nothing changes. */
  deleted: number
}

/** Divides the bytes of a repository. */
export function storageParts({
  bytes,
  uniqueBytes,
  cachedBytes,
  deletedBytes: deleted = 0,
}: Stored): StorageParts {
  const kept = bytes - deleted
  if (cachedBytes > 0) return { own: 0, shared: 0, cached: kept, deleted }
  const own = Math.min(Math.max(uniqueBytes - deleted, 0), kept)
  return { own, shared: kept - own, cached: 0, deleted }
}
