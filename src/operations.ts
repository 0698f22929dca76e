import { addressWrites, auditActWrites, auditWrites, noticeWrites } from './accounts/audit-store.ts'
import { grantsOutlive, grantWrites } from './accounts/grant-store.ts'
import { accountWrites, credentialWrites, groupWrites, installationWrites } from './accounts/store.ts'
import { cacheDeletionWrites, evictions, evictionWrites, pinWrites } from './cache/eviction.ts'
import { cacheWrites, upstreamWrites } from './cache/store.ts'
import type { Db } from './database/database.ts'
import type { OperationName, Operations } from './database/metadata.ts'
import { totals, type VersionOfCall } from './database/operation.ts'
import { collectionWrites } from './garbage/collection.ts'
import { dropLink, manifestPurge, purgeWrites } from './garbage/store.ts'
import { restoreWrites } from './history/store.ts'
import { damageWrites } from './integrity/store.ts'
import { countStatements, quotaLimits, quotaWrites, repositoryCounter } from './quota/store.ts'
import { registryWrites } from './registry/content-writes.ts'
import { rows } from './registry/store.ts'
import { retentionWrites } from './retention/expiration.ts'
import { dueRows, planWrites, policyWrites } from './retention/store.ts'

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
  const counts = countStatements(db)
  const shared = rows(db, version, repositoryCounter(counts, totals(db)))
  const due = dueRows(db)
  const purge = manifestPurge(db, shared)
  const drop = dropLink(db)
  const cached = evictions(db, shared, { purge, drop })
  const { limited, limitedParts, writes: counting } = quotaLimits(db, shared, counts)
  const content = registryWrites(db, shared)
  const restores = restoreWrites(db, shared)
  return {
    ...content,
    ...cacheWrites(db, shared),
    ...evictionWrites(cached),
    ...cacheDeletionWrites(db, shared, cached),
    ...collectionWrites(db, shared, cached),
    ...damageWrites(db, shared, drop),
    ...purgeWrites(db, shared, purge),
    ...counting,
    ...planWrites(db, shared, due),
    ...retentionWrites(db, shared, due),
    // What adds content is limited by quotas; so is a restore, as a push is.
    linkBlob: limited(content.linkBlob),
    mountBlob: limited(content.mountBlob),
    putManifest: limited(content.putManifest),
    putTag: limited(content.putTag),
    putRepository: limited(content.putRepository),
    restoreManifest: limitedParts(restores.restoreManifest),
    restoreTag: limited(restores.restoreTag),
    restoreRepository: limited(restores.restoreRepository),
    rewindRepository: limitedParts(restores.rewindRepository),
  }
}
