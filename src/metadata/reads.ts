import { accountReads } from './accounts/accounts.ts'
import { addressReads } from './accounts/addresses.ts'
import { auditReads } from './accounts/audit.ts'
import { credentialReads } from './accounts/credentials.ts'
import { grantReads } from './accounts/grants.ts'
import { noticeReads } from './accounts/notices.ts'
import { cacheLists } from './cache/cache-lists.ts'
import { cacheReads } from './cache/cache-reads.ts'
import { pinReads } from './cache/pins.ts'
import { upstreamReads } from './cache/upstreams.ts'
import { blobBytesReads } from './content/blobs/blob-bytes.ts'
import { blobSources } from './content/blobs/blob-sources.ts'
import { blobUseReads } from './content/blobs/blob-uses.ts'
import { blobReads } from './content/blobs/blobs.ts'
import { damageReads } from './content/damage.ts'
import { digestSearch } from './content/digest-search.ts'
import { conversionReads } from './content/manifests/conversions.ts'
import { labelSearch } from './content/manifests/label-search.ts'
import { labelReads } from './content/manifests/labels.ts'
import { manifestPrefixSearch } from './content/manifests/manifest-prefix-search.ts'
import { manifestReads } from './content/manifests/manifests.ts'
import { referrerReads } from './content/manifests/referrers.ts'
import { v1ImageReads } from './content/manifests/v1-images.ts'
import { pullReads } from './content/pulls.ts'
import { catalogReads } from './content/repositories/catalog.ts'
import { repositoryReads } from './content/repositories/repositories.ts'
import { storageReads } from './content/storage.ts'
import { tagPrefixSearch } from './content/tags/tag-prefix-search.ts'
import { tagReads } from './content/tags/tags.ts'
import { totals } from './content/totals.ts'
import type { Db } from './database.ts'
import { explanations } from './garbage/explanation.ts'
import { garbageReads } from './garbage/garbage.ts'
import { outboxReads } from './outbox.ts'
import { deletedReader } from './quota/deleted.ts'
import { quotaReads } from './quota/quotas.ts'
import { usageReader } from './quota/usage.ts'
import { retentionReads } from './retention/reads.ts'
import { historyReads } from './time-machine/history.ts'
import { newestTime } from './time-machine/recorded-time.ts'

/** Every read, by its subject. */
export type Reads = ReturnType<typeof reads>

/** Creates every read of a database. */
export function reads(db: Db) {
  const repositories = repositoryReads(db)
  const blobs = blobReads(db)
  const total = totals(db)
  return {
    repositories,
    manifests: manifestReads(db),
    conversions: conversionReads(db),
    tags: tagReads(db, repositories),
    v1Images: v1ImageReads(db),
    history: historyReads(db, repositories),
    catalog: catalogReads(db, repositories),
    blobBytes: blobBytesReads(db),
    blobs: { ...blobs, ...blobSources(db, repositories, blobs) },
    cache: cacheReads(db, total),
    cacheLists: cacheLists(db),
    pins: pinReads(db),
    upstreams: upstreamReads(db),
    blobUses: blobUseReads(db),
    pulls: pullReads(db, repositories),
    findDigests: digestSearch(db),
    findTags: tagPrefixSearch(db),
    findManifests: manifestPrefixSearch(db),
    findLabels: labelSearch(db),
    labels: labelReads(db, total),
    referrers: referrerReads(db),
    outbox: outboxReads(db),
    damage: damageReads(db, total),
    storage: storageReads(db, total),
    accounts: accountReads(db),
    credentials: credentialReads(db),
    grants: grantReads(db),
    audit: { ...auditReads(db), notices: noticeReads(db) },
    addresses: addressReads(db),
    garbage: garbageReads(db),
    explain: explanations(db),
    retention: retentionReads(db, total),
    quotas: { ...quotaReads(db), usage: usageReader(db, total), deleted: deletedReader(db) },
    newestTime: newestTime(db),
  }
}
