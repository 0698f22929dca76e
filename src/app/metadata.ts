import { addressReads, auditReads } from '../accounts/audit-store.ts'
import { grantReads } from '../accounts/grant-store.ts'
import { accountReads, credentialReads } from '../accounts/store.ts'
import { pinReads } from '../cache/eviction.ts'
import { cacheReads, upstreamReads } from '../cache/store.ts'
import { digestSearch, labelSearch, manifestPrefixSearch, tagPrefixSearch } from '../content/search-reads.ts'
import { blobUseReads, catalogReads, storageReads } from '../content/store.ts'
import type { Db } from '../database/database.ts'
import { type Metadata, openDatabase, type Reads } from '../database/metadata.ts'
import { totals } from '../database/operation.ts'
import { outboxReads } from '../database/outbox.ts'
import { v1ImageReads } from '../docker-v1/store.ts'
import { garbageReads } from '../garbage/candidates.ts'
import { explanations } from '../garbage/explanation.ts'
import { historyReads } from '../history/store.ts'
import { damageReads } from '../integrity/store.ts'
import { quotaReads } from '../quota/store.ts'
import { registryReads } from '../registry/store.ts'
import { retentionReads } from '../retention/store.ts'

/**
 * Opens, creates or migrates `<folder>/cay.db`, with every read and write.
 *
 * @param onFailure called when the writer's thread has crashed. Nothing can be written, so the process should end.
 */
export function openMetadata(folder: string, onFailure: (error: Error) => void): Promise<Metadata> {
  const startWriter = () => new Worker(new URL('./writer-thread.ts', import.meta.url))
  return openDatabase(folder, { reads, startWriter, onFailure })
}

/** Creates every read of a database. */
export function reads(db: Db): Reads {
  const registry = registryReads(db)
  const total = totals(db)
  return {
    ...registry,
    v1Images: v1ImageReads(db),
    history: historyReads(db, registry.repositories),
    catalog: catalogReads(db, registry.repositories),
    cache: cacheReads(db, total),
    pins: pinReads(db),
    upstreams: upstreamReads(db),
    blobUses: blobUseReads(db),
    findDigests: digestSearch(db),
    findTags: tagPrefixSearch(db),
    findManifests: manifestPrefixSearch(db),
    findLabels: labelSearch(db),
    outbox: outboxReads(db),
    damage: damageReads(db, total),
    storage: storageReads(db, total),
    accounts: accountReads(db),
    credentials: credentialReads(db),
    grants: grantReads(db),
    audit: auditReads(db),
    addresses: addressReads(db),
    garbage: garbageReads(db),
    explain: explanations(db),
    retention: retentionReads(db, total),
    quotas: quotaReads(db, total),
  }
}
