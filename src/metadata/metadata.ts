import { join } from 'node:path'
import { type BlobReads, blobReads } from './blobs.ts'
import { openForReading } from './database.ts'
import { type ManifestReads, manifestReads } from './manifests.ts'
import { type ReferrerReads, referrerReads } from './referrers.ts'
import { type RepositoryReads, repositoryReads } from './repositories.ts'
import { type TagReads, tagReads } from './tags.ts'
import { Writer } from './writer.ts'

/** The database of one data folder: reads here and at once, writes through the writer's thread. */
export interface Metadata {
  repositories: RepositoryReads
  manifests: ManifestReads
  tags: TagReads
  blobs: BlobReads
  referrers: ReferrerReads
  write: Writer['call']
  /** Has `listener` called whenever what was read before may be stale. */
  onReplace(listener: () => void): void
  close(): Promise<void>
}

/**
 * Opens, makes or migrates `<folder>/cay.db`.
 *
 * @param now milliseconds since 1970, for the name of a copy that a migration makes
 * @param onFailure told when the writer's thread has died: nothing can be written, the process should end
 */
export async function openMetadata(
  folder: string,
  now: number,
  onFailure: (error: Error) => void,
): Promise<Metadata> {
  const path = join(folder, 'cay.db')
  const listeners: (() => void)[] = []
  const writer = await Writer.open(path, now, {
    onReplace: () => {
      for (const listener of listeners) listener()
    },
    onFailure,
  })
  const db = openForReading(path)
  return {
    repositories: repositoryReads(db),
    manifests: manifestReads(db),
    tags: tagReads(db),
    blobs: blobReads(db),
    referrers: referrerReads(db),
    write: (name, args, moved) => writer.call(name, args, moved),
    onReplace: (listener) => {
      listeners.push(listener)
    },
    async close() {
      db.$client.close()
      await writer.close()
    },
  }
}
