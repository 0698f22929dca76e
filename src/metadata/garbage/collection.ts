import { asc, eq, gt, lt, lte, type Placeholder, type SQL, sql } from 'drizzle-orm'
import { type GarbageWindow, untaggedMs } from '../../domain/retention/garbage-window.ts'
import type { Tag } from '../../oci/reference.ts'
import type { TagRows } from '../content/tags/tag-rows.ts'
import type { Db } from '../database.ts'
import { manifest, repository, tag, tagHistory } from '../schema/schema.ts'
import type { Stale } from '../stale.ts'
import { number, statement } from '../statement.ts'
import { partTime, within } from '../writer/part-time.ts'
import type { ManifestPurge, PurgedManifest } from './manifest-purge.ts'
import { isReached, type Reachability } from './reachability.ts'
import { untaggedWalk } from './untagged-walk.ts'

/** One batch of a collection. */
export interface CollectionCall {
  /** Milliseconds since 1970. */
  at: number
  /** The time by which garbage must be old enough, in milliseconds since 1970; not after `at`. */
  until: number
  garbageWindow: GarbageWindow
  /** The maximum rows that it removes. */
  limit: number
}

/** What a batch has removed. */
export interface CollectionBatch {
  tags: number
  manifests: number
  /** Bytes of manifests. */
  bytes: number
  /** Whether there is more to collect now. */
  more: boolean
  stale: Stale | undefined
}

/** Writes of the collector for tags and manifests, each a bounded batch. */
export function collectionWrites(
  db: Db,
  { tags, reach, purge: { purge: take } }: { tags: TagRows; reach: Reachability; purge: ManifestPurge },
) {
  const candidates = manifestCandidates(db)
  const walk = untaggedWalk(db)
  const purge = purgeMarked(db, reach, take)
  const expired = statement(db, { at: number, limit: number }, ({ at, limit }) =>
    db
      .select({ repositoryId: tag.repositoryId, name: tag.name })
      .from(tag)
      .where(lte(tag.expiresAt, at))
      .orderBy(asc(tag.expiresAt))
      .limit(limit),
  )
  const history = oldHistory(db)
  return {
    /** Removes expired tags. */
    collectTags({ at, until, limit }: CollectionCall): CollectionBatch {
      const rows = expired.all({ at: until, limit })
      const taken = within(rows, ({ repositoryId, name }) => tags.find(repositoryId, name as Tag, at))
      return batchOf({
        tags: taken,
        more: rows.length === limit || taken < rows.length,
        stale: taken > 0 ? 'content' : undefined,
      })
    },

    /** Removes manifests that were deleted or became unreferenced before the undo window. */
    collectManifests(call: CollectionCall): CollectionBatch {
      const { until, garbageWindow, limit } = call
      const before = until - garbageWindow.windowMs
      const deleted = candidates.deleted.all({ before, limit })
      const unreferenced = candidates.unreferenced.all({ before, limit: limit - deleted.length })
      return purge([...deleted, ...unreferenced] as PurgedManifest[], call)
    },

    /**
     * Removes manifests that never had a tag according to the settings of repositories, starting after the repository
     * `after`. Returns where to continue.
     */
    collectUntagged(call: CollectionCall & { after: number }): CollectionBatch & { after: number } {
      const isOver = partTime()
      const { until, garbageWindow, limit } = call
      let { after } = call
      while (!isOver()) {
        const next = walk.next(after, garbageWindow)
        if (next === undefined) return { ...batchOf({ more: false }), after }
        const keptMs = untaggedMs(garbageWindow, next.untaggedDays)
        const repositoryId = next.id
        const rows =
          keptMs === undefined ? [] : candidates.untagged.all({ repositoryId, before: until - keptMs, limit })
        if (rows.length > 0) return { ...purge(rows as PurgedManifest[], call), more: true, after }
        after = repositoryId
      }
      return { ...batchOf({ more: true }), after }
    },

    /** Removes moves of tags from before the undo window. */
    trimHistory({ until, garbageWindow, limit }: CollectionCall): CollectionBatch {
      return batchOf({ more: history.trim(until - garbageWindow.windowMs, limit) })
    },
  }
}

export function batchOf(batch: Partial<CollectionBatch>): CollectionBatch {
  return { tags: 0, manifests: 0, bytes: 0, more: false, stale: undefined, ...batch }
}

function oldHistory(db: Db) {
  const oldest = statement(db, { limit: number }, ({ limit }) =>
    db
      .select({ id: tagHistory.id, at: tagHistory.at })
      .from(tagHistory)
      .where(gt(tagHistory.id, 0))
      .orderBy(asc(tagHistory.id))
      .limit(limit),
  )
  const remove = statement(db, { id: number }, ({ id }) =>
    db.delete(tagHistory).where(lte(tagHistory.id, id)),
  )
  return {
    /** Removes the oldest moves up to a time. Returns whether there may be more. */
    trim(before: number, limit: number): boolean {
      const rows = oldest.all({ limit })
      const kept = rows.findIndex((row) => row.at >= before)
      const gone = kept === -1 ? rows.at(-1) : rows[kept - 1]
      if (gone) remove.run({ id: gone.id })
      return kept === -1 && rows.length === limit
    },
  }
}

function purgeMarked(db: Db, reach: Reachability, purge: ManifestPurge['purge']) {
  const reached = statement(db, { id: number }, ({ id }) =>
    db.select({ id: manifest.id }).from(manifest).where(sql`${manifest.id} = ${id} and ${isReached}`),
  )
  return (rows: PurgedManifest[], { at, until, garbageWindow, limit }: CollectionCall): CollectionBatch => {
    // A client may have found one of them here as part of an index, and then has a grace period to reference it.
    const since = until - garbageWindow.windowMs + garbageWindow.graceMs
    const batch = batchOf({ stale: rows.length > 0 ? 'content' : undefined })
    const isOver = partTime()
    const purgeOne = (row: PurgedManifest) => {
      if (row.deletedAt === null && reached.get({ id: row.id }) !== undefined) return reach.reached(row.id)
      const { bytes, tags, isUnfinished } = purge(row, { at, since, isOver })
      batch.bytes += bytes
      batch.tags += tags
      if (isUnfinished) batch.more = true
      else batch.manifests++
    }
    const done = within(rows, purgeOne, isOver)
    return { ...batch, more: batch.more || rows.length === limit || done < rows.length }
  }
}

function manifestCandidates(db: Db) {
  const columns = {
    id: manifest.id,
    repositoryId: manifest.repositoryId,
    repository: repository.name,
    digest: manifest.digest,
    size: manifest.size,
    deletedAt: manifest.deletedAt,
  }
  const page = (condition: SQL, order: SQL, limit: Placeholder) =>
    db
      .select(columns)
      .from(manifest)
      .innerJoin(repository, eq(repository.id, manifest.repositoryId))
      .where(condition)
      .orderBy(order)
      .limit(limit)
  const marked = { before: number, limit: number }
  return {
    deleted: statement(db, marked, ({ before, limit }) =>
      page(lt(manifest.deletedAt, before), asc(manifest.deletedAt), limit),
    ),
    unreferenced: statement(db, marked, ({ before, limit }) =>
      page(lt(manifest.unreferencedAt, before), asc(manifest.unreferencedAt), limit),
    ),
    untagged: statement(db, { repositoryId: number, ...marked }, ({ repositoryId, before, limit }) =>
      page(
        sql`${manifest.repositoryId} = ${repositoryId} and ${manifest.untaggedAt} < ${before}`,
        asc(manifest.untaggedAt),
        limit,
      ),
    ),
  }
}
