import type { RepositoryStorage, StorageCursor } from '../../metadata/content/storage.ts'
import type { Metadata } from '../../metadata/metadata.ts'
import type { UploadsInProgress } from '../../storage/blob-store.ts'
import { formatCursor, type ListPage, type PageQuery, parseCursor, readPage } from '../page.ts'

/** How many upload files are examined for their count and bytes. */
export const UPLOADS_COUNTED_MAX = 10_000

/** How much is stored. Sizes are in bytes. */
export interface StorageTotals {
  blobs: { count: number; bytes: number }
  /** Uploads in progress. At most UPLOADS_COUNTED_MAX are counted. */
  uploads: { count: number; bytes: number }
  /** The file system of the data folder. */
  disk: { totalBytes: number; freeBytes: number }
}

export interface StorageQuery extends PageQuery {
  /** `name` by default. With `bytes` the largest repository comes first. */
  sort?: 'name' | 'bytes' | undefined
}

export type { RepositoryStorage }

/** Reports how much is stored, in total and by repository. */
export function storageService(
  metadata: Metadata,
  uploads: UploadsInProgress,
  disk: () => Promise<StorageTotals['disk']>,
) {
  return {
    async totals(): Promise<StorageTotals> {
      const { blobs: count, bytes } = await metadata.storage.totals()
      const [measured, free] = await Promise.all([uploads.measure(UPLOADS_COUNTED_MAX), disk()])
      const inProgress = { count: measured.uploads, bytes: measured.bytes }
      return { blobs: { count, bytes }, uploads: inProgress, disk: free }
    },

    /** Lists repositories with the bytes that each links. */
    list(query: StorageQuery): Promise<ListPage<RepositoryStorage>> {
      const isByBytes = query.sort === 'bytes'
      const after: StorageCursor = isByBytes
        ? afterBytes(query.cursor)
        : { by: 'name', name: query.cursor ?? '' }
      return readPage(
        query,
        (limit) => metadata.storage.list(after, limit),
        ({ name, bytes, id }) => (isByBytes ? formatCursor(bytes, id) : name),
      )
    },
  }
}

function afterBytes(last: string | undefined): StorageCursor {
  const [bytes = 0, id = 0] = parseCursor(last, Number.MAX_SAFE_INTEGER, 0)
  return { by: 'bytes', bytes, id }
}
