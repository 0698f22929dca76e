import type { Metadata } from '../metadata/metadata.ts'
import type { UploadStore } from '../storage/blob-store.ts'

/** Rows of one turn, so that a long list blocks nothing. */
const ROWS_MAX = 100

/** Drops the uploads that did not grow for so long. Answers how many. */
export async function expireUploads(
  metadata: Metadata,
  uploads: UploadStore,
  now: number,
  idleSecondsMax: number,
): Promise<number> {
  const before = now - idleSecondsMax * 1000
  let last = ''
  let dropped = 0
  for (;;) {
    const rows = metadata.uploads.list(last, ROWS_MAX)
    for (const upload of rows) {
      const { changedAt = 0 } = await uploads.stat(upload)
      if (Math.max(changedAt, upload.startedAt) >= before) continue
      await uploads.cancel(upload)
      await metadata.write('endUpload', { id: upload.id })
      dropped++
    }
    const end = rows.at(-1)
    if (end === undefined) return dropped
    last = end.id
  }
}

/** Removes what a crash has left: files of uploads that have no row. To be called before the first upload starts. */
export async function removeOrphans(metadata: Metadata, uploads: UploadStore): Promise<number> {
  let removed = 0
  for (const id of await uploads.list()) {
    if (metadata.uploads.find(id) !== undefined) continue
    await uploads.cancel({ id, algorithm: 'sha256' })
    removed++
  }
  return removed
}
