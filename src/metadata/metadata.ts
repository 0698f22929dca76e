import { join } from 'node:path'
import { lazily } from '../lazily.ts'
import { type AccountReads, accountReads } from './accounts/accounts.ts'
import { auditReads } from './accounts/audit.ts'
import { type CredentialReads, credentialReads } from './accounts/credentials.ts'
import { type GrantReads, grantReads } from './accounts/grants.ts'
import { type CacheReads, cacheReads } from './cache/cache-reads.ts'
import { type BlobUseReads, blobUseReads } from './content/blob-uses.ts'
import { type BlobReads, blobReads } from './content/blobs.ts'
import { type CatalogReads, catalogReads } from './content/catalog.ts'
import { type ConversionReads, conversionReads } from './content/conversions.ts'
import { type ManifestReads, manifestReads } from './content/manifests.ts'
import { type ReferrerReads, referrerReads } from './content/referrers.ts'
import { type RepositoryReads, repositoryReads } from './content/repositories.ts'
import { type StorageReads, storageReads } from './content/storage.ts'
import { type TagReads, tagReads } from './content/tags.ts'
import { type V1ImageReads, v1ImageReads } from './content/v1-images.ts'
import { openForReading } from './database.ts'
import { type Explain, explanations } from './garbage/explanation.ts'
import { type GarbageReads, garbageReads } from './garbage/garbage.ts'
import { type OutboxReads, outboxReads } from './outbox.ts'
import type { Stale } from './stale.ts'
import { type HistoryReads, historyReads } from './time-machine/history.ts'
import { newestTime } from './time-machine/recorded-time.ts'
import { Writer } from './writer.ts'

/** What is read, by what it is of. The statements of each are prepared when it is used for the first time. */
interface Reads {
  repositories: RepositoryReads
  manifests: ManifestReads
  conversions: ConversionReads
  tags: TagReads
  v1Images: V1ImageReads
  history: HistoryReads
  catalog: CatalogReads
  blobs: BlobReads
  blobUses: BlobUseReads
  referrers: ReferrerReads
  outbox: OutboxReads
  storage: StorageReads
  accounts: AccountReads
  credentials: CredentialReads
  grants: GrantReads
  audit: ReturnType<typeof auditReads>
  garbage: GarbageReads
  explain: Explain
  cache: CacheReads
}

/** The database of one data folder: reads here and at once, writes through the writer's thread. */
export interface Metadata extends Reads {
  /** The newest time that is recorded, in milliseconds since 1970; 0 when nothing is. */
  newestTime(): number
  write: Writer['call']
  /** Has `listener` called whenever what is remembered of this kind is stale, before the write returns. */
  onStale(what: Stale, listener: () => void): void
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
  const listeners: [Stale, () => void][] = []
  const writer = await Writer.open(path, now, {
    onStale: (what) => {
      for (const [kind, listener] of listeners) if (kind === what) listener()
    },
    onFailure,
  })
  const db = openForReading(path)
  const reads: Reads = lazily({
    repositories: () => repositoryReads(db),
    manifests: () => manifestReads(db),
    conversions: () => conversionReads(db),
    tags: () => tagReads(db),
    v1Images: () => v1ImageReads(db),
    history: () => historyReads(db),
    catalog: () => catalogReads(db),
    blobs: () => blobReads(db),
    blobUses: () => blobUseReads(db),
    referrers: () => referrerReads(db),
    outbox: () => outboxReads(db),
    storage: () => storageReads(db),
    accounts: () => accountReads(db),
    credentials: () => credentialReads(db),
    grants: () => grantReads(db),
    audit: () => auditReads(db),
    garbage: () => garbageReads(db),
    explain: () => explanations(db),
    cache: () => cacheReads(db),
  })
  return Object.assign(reads, {
    newestTime: () => newestTime(db),
    write: ((name, args, moved) => writer.call(name, args, moved)) as Writer['call'],
    onStale: (what: Stale, listener: () => void) => {
      listeners.push([what, listener])
    },
    async close() {
      db.$client.close()
      await writer.close()
    },
  })
}
