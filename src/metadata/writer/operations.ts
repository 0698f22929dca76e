import { accountWrites, groupWrites } from '../accounts/accounts.ts'
import { addressWrites } from '../accounts/addresses.ts'
import { auditActWrites, auditWrites } from '../accounts/audit.ts'
import { credentialWrites, installationWrites } from '../accounts/credentials.ts'
import { grantsOutlive, grantWrites } from '../accounts/grants.ts'
import { noticeWrites } from '../accounts/notices.ts'
import { cacheWrites } from '../cache/cached-content.ts'
import { cacheDeletionWrites } from '../cache/deletions.ts'
import { evictions, evictionWrites } from '../cache/eviction.ts'
import { pinRows, pinWrites } from '../cache/pins.ts'
import { upstreamWrites } from '../cache/upstreams.ts'
import { blobLinks } from '../content/blobs/blob-links.ts'
import { blobWrites } from '../content/blobs/blobs.ts'
import { damageWrites } from '../content/damage.ts'
import { conversionWrites } from '../content/manifests/conversions.ts'
import { labelRows, labelWrites } from '../content/manifests/labels.ts'
import { referenceRows } from '../content/manifests/manifest-references.ts'
import { manifestFinder, manifestRows } from '../content/manifests/manifest-rows.ts'
import { manifestWrites } from '../content/manifests/manifest-writes.ts'
import { pullWrites } from '../content/pulls.ts'
import { ensureRepository, repositoryReads } from '../content/repositories/repositories.ts'
import {
  repositoryRestores,
  repositoryRows,
  repositoryWrites,
} from '../content/repositories/repository-writes.ts'
import { immutability } from '../content/tags/immutability.ts'
import { tagMoves } from '../content/tags/tag-moves.ts'
import { tagRows } from '../content/tags/tag-rows.ts'
import { tagWriteBeginning, tagWrites } from '../content/tags/tag-writes.ts'
import { totals, totalWrites } from '../content/totals.ts'
import { usageWrites } from '../content/usage.ts'
import type { Db } from '../database.ts'
import { outboxWrites } from '../events.ts'
import { blobCollectionWrites, dropLink } from '../garbage/blob-collection.ts'
import { collectionWrites } from '../garbage/collection.ts'
import { pageWrites } from '../garbage/free-pages.ts'
import { manifestPurge } from '../garbage/manifest-purge.ts'
import { purgeWrites } from '../garbage/purge.ts'
import { reachability } from '../garbage/reachability.ts'
import { renewalWrites } from '../garbage/renewals.ts'
import { quotaEvents, quotaLimits, quotaWrites } from '../quota/quotas.ts'
import { countingWrites, countStatements, repositoryCounter, usageReader } from '../quota/usage.ts'
import { dueRows, planWrites } from '../retention/plan.ts'
import { policyWrites } from '../retention/policies.ts'
import { retentionWrites } from '../retention/retention.ts'
import { contentRestores } from '../time-machine/content-restore.ts'
import { manifestRestores } from '../time-machine/manifest-restores.ts'
import { rewinds } from '../time-machine/rewind.ts'
import { tagLines } from '../time-machine/tag-lines.ts'
import { tagRestores } from '../time-machine/tag-restores.ts'
import type { VersionOfCall } from '../versions.ts'

/**
 * Every write, by name. The writer's thread runs many in one transaction. If one fails, it runs all of them again,
 * each in a savepoint, so a write must have no side effects outside the database. A write that may take long is a
 * generator. At each `yield`, its changes are committed, the cached data that it yields becomes stale, and waiting
 * calls run first. A write that returns `stale` has changed something that may be cached: content or permissions.
 */
export type Operations = ReturnType<typeof operations>
export type OperationName = keyof Operations

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
export function operations(db: Db, version: VersionOfCall) {
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
