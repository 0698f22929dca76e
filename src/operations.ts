import {
  addressReads,
  addressWrites,
  auditActWrites,
  auditReads,
  auditWrites,
  noticeReads,
  noticeWrites,
} from './accounts/audit-rows.ts'
import { grantReads, grantsOutlive, grantWrites } from './accounts/grant-rows.ts'
import {
  accountReads,
  accountWrites,
  credentialReads,
  credentialWrites,
  groupWrites,
  installationWrites,
} from './accounts/store.ts'
import { cacheWrites } from './cache/cached-content.ts'
import { cacheDeletionWrites, evictions, evictionWrites } from './cache/eviction.ts'
import { pinReads, pinRows, pinWrites } from './cache/pins.ts'
import { cacheLists, cacheReads } from './cache/store.ts'
import { digestSearch, labelSearch, manifestPrefixSearch, tagPrefixSearch } from './content/search-reads.ts'
import { blobUseReads, catalogReads, storageReads } from './content/store.ts'
import type { Db } from './database/database.ts'
import type { OperationName, Operations, Reads } from './database/metadata.ts'
import type { VersionOfCall } from './database/operation.ts'
import { outboxReads, outboxWrites } from './database/outbox.ts'
import { v1ImageReads } from './docker-v1/store.ts'
import { blobCollectionWrites, collectionWrites, dropLink, pageWrites } from './garbage/collection.ts'
import { explanations } from './garbage/explanation.ts'
import { manifestPurge, purgeWrites } from './garbage/purge.ts'
import { garbageReads } from './garbage/waiting.ts'
import { contentRestores, historyReads, manifestRestores, rewinds, tagRestores } from './history/store.ts'
import { damageReads, damageWrites } from './integrity/store.ts'
import {
  countingWrites,
  countStatements,
  deletedReader,
  quotaEvents,
  quotaLimits,
  quotaReads,
  quotaWrites,
  repositoryCounter,
  usageReader,
} from './quota/store.ts'
import {
  blobBytesReads,
  blobLinks,
  blobReads,
  blobSources,
  blobWrites,
  renewalWrites,
} from './registry/blob-rows.ts'
import {
  manifestWrites,
  repositoryRestores,
  repositoryRows,
  repositoryWrites,
  tagWriteBeginning,
  tagWrites,
} from './registry/content-writes.ts'
import {
  conversionReads,
  conversionWrites,
  labelReads,
  labelRows,
  labelWrites,
  manifestReads,
  referrerReads,
} from './registry/manifest-reads.ts'
import { manifestFinder, manifestRows, referenceRows } from './registry/manifest-rows.ts'
import { reachability } from './registry/marks.ts'
import { ensureRepository, repositoryReads, totals, totalWrites } from './registry/repository-rows.ts'
import { newestTime, tagLines } from './registry/tag-lines.ts'
import { tagReads } from './registry/tag-reads.ts'
import { immutability, tagMoves, tagRows } from './registry/tag-rows.ts'
import { upstreamReads, upstreamWrites } from './registry/upstream-rows.ts'
import { pullReads, pullWrites, usageWrites } from './registry/use-rows.ts'
import { retentionWrites } from './retention/expiration.ts'
import { dueRows, planWrites, policyWrites, retentionReads } from './retention/store.ts'

/** Writes that are committed without a sync, because no client relies on them. A process crash does not lose them. */
export const VOLATILE: ReadonlySet<OperationName> = new Set<OperationName>([
  'touchCredentials',
  'removeExpired',
  'addNotices',
  'addAddress',
  'addUsage',
  'removePulls',
  'renewBlob',
  'renewManifest',
  'cacheManifest',
  'addLabels',
  'linkCached',
  'touchCached',
  'noteChecks',
  'noteVerified',
  'releasePages',
])

/** Creates every write of a database. What several writes share is created once, with its statements. */
export function operations(db: Db, version: VersionOfCall): Operations {
  return { ...accountOperations(db, version), ...contentOperations(db, version) }
}

function accountOperations(db: Db, version: VersionOfCall) {
  const recordAct = auditWrites(db)
  const parts = { recordAct, version, outlive: grantsOutlive(db) }
  return {
    ...installationWrites(db, recordAct),
    ...accountWrites(db, parts),
    ...groupWrites(db, parts),
    ...credentialWrites(db, recordAct),
    ...grantWrites(db, recordAct),
    ...auditActWrites(recordAct),
    ...noticeWrites(db),
    ...addressWrites(db),
    ...pinWrites(db, recordAct),
    ...upstreamWrites(db, { recordAct, version }),
    ...policyWrites(db, { recordAct, version }),
    ...quotaWrites(db, { recordAct, version }),
  }
}

function contentOperations(db: Db, version: VersionOfCall) {
  const recordEvent = outboxWrites(db)
  const { find, findOwner } = repositoryReads(db)
  const total = totals(db)
  const counts = countStatements(db)
  const ensure = ensureRepository(db, { findOwner, version, count: repositoryCounter(counts, total) })
  const repositoriesByName = repositoryRows(db, version)
  const findManifest = manifestFinder(db)
  const rows = manifestRows(db, { find: findManifest, version })
  const references = referenceRows(db)
  const labels = labelRows(db)
  const link = blobLinks(db)
  const reach = reachability(db, version)
  const lines = tagLines(db)
  const namedTags = tagRows(db, { recordEvent, lines, reach, version })
  const immutable = immutability(db)
  const due = dueRows(db)
  const write = totalWrites(db)
  const limits = quotaLimits(usageReader(db, total))
  const { limited } = limits
  const tags = tagMoves(namedTags, immutable)
  const begin = tagWriteBeginning(find, tags)
  const revive = contentRestores(db, { find: findManifest, reach })
  const purge = manifestPurge(db, { recordEvent, reach, rows, tags: namedTags })
  const drop = dropLink(db)
  const pins = pinRows(db, namedTags)
  const cached = evictions(db, { recordEvent, rows, tags: namedTags, reach, purge, drop, pins })
  const blobs = blobWrites(db, { recordEvent, ensure, link, find })
  const manifests = manifestWrites({ recordEvent, find, ensure, tags, rows, references, labels, reach })
  const tagged = tagWrites({ recordEvent, tags, findManifest, begin })
  const named = repositoryWrites({ recordEvent, ensure, rows: repositoriesByName })
  return {
    ...usageWrites(db, findManifest),
    ...pullWrites(db),
    ...blobs,
    linkBlob: limited(blobs.linkBlob),
    mountBlob: limited(blobs.mountBlob),
    ...renewalWrites(db),
    ...manifests,
    putManifest: limited(manifests.putManifest),
    ...tagged,
    putTag: limited(tagged.putTag),
    ...cacheWrites(db, { recordEvent, ensure, rows, references, labels, reach, link, tags: namedTags }),
    ...labelWrites({ findManifest, labels, write }),
    ...evictionWrites(cached),
    ...cacheDeletionWrites(db, {
      ...cached,
      find,
      findManifest,
      check: tags.check,
      repositories: repositoriesByName,
    }),
    ...conversionWrites(db, { find, findManifest, link, references }),
    ...named,
    putRepository: limited(named.putRepository),
    ...collectionWrites(db, { tags: namedTags, reach, purge }),
    ...pageWrites(db),
    ...damageWrites(db, { drop, write }),
    ...blobCollectionWrites(db, { ...cached, setDeleted: repositoriesByName.setDeleted }),
    ...purgeWrites(db, { recordEvent, purge, setDeleted: repositoriesByName.setDeleted }),
    ...limitedRestores(
      { recordEvent, find, findManifest, tags, lines, revive, begin, rows: repositoriesByName },
      limits,
    ),
    ...quotaEvents(recordEvent),
    ...countingWrites(db, { counts, total, write, setQuotas: limits.set }),
    ...planWrites(db, { find, due, total, write }),
    ...retentionWrites(db, { recordEvent, immutable, due, total, tags: namedTags, version }),
  }
}

type RestoreParts = Parameters<typeof manifestRestores>[0] &
  Parameters<typeof tagRestores>[0] &
  Parameters<typeof repositoryRestores>[0]

/** A restore adds tags or a repository, so quotas apply to it as to a push. */
function limitedRestores(parts: RestoreParts, { limited, limitedParts }: ReturnType<typeof quotaLimits>) {
  return {
    restoreManifest: limitedParts(manifestRestores(parts).restoreManifest),
    restoreTag: limited(tagRestores(parts).restoreTag),
    restoreRepository: limited(repositoryRestores(parts).restoreRepository),
    rewindRepository: limitedParts(rewinds(parts).rewindRepository),
  }
}

/** Creates every read of a database. */
export function reads(db: Db): Reads {
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
