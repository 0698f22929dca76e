import { asc, eq, lt, lte, type Placeholder, type SQL, sql } from 'drizzle-orm'
import type { Db } from '../database/database.ts'
import { partTime, type Stale, within } from '../database/operation.ts'
import { blob, manifest, repository, repositoryBlob, tag, tagHistory } from '../database/schema.ts'
import { deleteBy, number, pageBy, statement, updateBy } from '../database/statement.ts'
import type { Digest, Tag } from '../oci/reference.ts'
import { type GarbageWindow, isReached, type Rows, untaggedMs } from '../registry/store.ts'
import { type DropLink, type ManifestPurge, type PurgedManifest, purgedColumns } from './store.ts'

declare module '../database/metadata.ts' {
  interface Operations extends ReturnType<typeof collectionWrites> {}
}

/** One batch of a collection. */
interface CollectionCall {
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
  repositories: number
  /** Blobs whose rows are gone. After the commit, the store must remove their bytes. */
  blobs: { digest: Digest; size: number }[]
  /** Whether there is more to collect now. */
  more: boolean
  stale: Stale | undefined
}

interface CollectedParts {
  purge: ManifestPurge
  drop: DropLink
  /** Also removes a cached repository that becomes empty. */
  dropLoose: DropLink
}

/** The writes of the collector, each a bounded batch. */
export function collectionWrites(db: Db, rows: Rows, parts: CollectedParts) {
  return {
    ...manifestCollection(db, rows, parts),
    ...blobCollection(db, parts),
    ...repositoryCollection(db, rows, parts),
    ...pageWrites(db),
  }
}

function manifestCollection(db: Db, { tags, reach }: Rows, parts: CollectedParts) {
  const candidates = manifestCandidates(db)
  const nextUntagged = untaggedWalk(db)
  const purge = purgeMarked(db, reach, parts.purge)
  const expired = statement(db, { at: number, limit: number }, ({ at, limit }) =>
    db
      .select({ repositoryId: tag.repositoryId, name: tag.name })
      .from(tag)
      .where(lte(tag.expiresAt, at))
      .orderBy(asc(tag.expiresAt))
      .limit(limit),
  )
  const trim = historyTrim(db)
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
        const next = nextUntagged(after, garbageWindow)
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
      return batchOf({ more: trim(until - garbageWindow.windowMs, limit) })
    },
  }
}

const NOTHING = { tags: 0, manifests: 0, bytes: 0, repositories: 0, more: false, stale: undefined }

function batchOf(batch: Partial<CollectionBatch>): CollectionBatch {
  return { ...NOTHING, blobs: [], ...batch }
}

/** Returns a function that removes the oldest moves of tags before a time, and returns whether there may be more. */
function historyTrim(db: Db) {
  const oldest = pageBy(db, tagHistory, ['id', 'asc'])
  const remove = statement(db, { id: number }, ({ id }) =>
    db.delete(tagHistory).where(lte(tagHistory.id, id)),
  )
  return (before: number, limit: number): boolean => {
    const rows = oldest.all({ last: 0, limit })
    const kept = rows.findIndex((row) => row.at >= before)
    const gone = kept === -1 ? rows.at(-1) : rows[kept - 1]
    if (gone) remove.run({ id: gone.id })
    return kept === -1 && rows.length === limit
  }
}

function purgeMarked(db: Db, reach: Rows['reach'], { purge }: ManifestPurge) {
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
  const page = (condition: SQL, order: SQL, limit: Placeholder) =>
    db
      .select(purgedColumns)
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

/** How many pages are released between two checks of the time. */
const STEP_PAGES = 32

/** How many free pages are kept for later writes: a share of the database, and a minimum (4 KiB each). */
const KEPT_SHARE = 0.05
const KEPT_PAGES_MIN = 256

/** Writes that shrink the database's file. */
function pageWrites({ $client }: Db) {
  const countOf = (pragma: 'freelist_count' | 'page_count') =>
    Number($client.query(`PRAGMA ${pragma}`).values()[0]?.[0])
  const surplus = () =>
    countOf('freelist_count') - Math.max(KEPT_PAGES_MIN, countOf('page_count') * KEPT_SHARE)
  return {
    /** Releases some free pages. The file shrinks with the next checkpoint. */
    releasePages(_: object): CollectionBatch {
      const isOver = partTime()
      while (surplus() > 0) {
        if (isOver()) return batchOf({ more: true })
        $client.query(`PRAGMA incremental_vacuum(${STEP_PAGES})`).values()
      }
      return batchOf({})
    },
  }
}

/**
 * Iterates over the repositories that may have untagged manifests to delete, by id. Without a server-wide setting, these
 * are only those with their own setting.
 */
export function untaggedWalk(db: Db) {
  const columns = { id: repository.id, untaggedDays: repository.untaggedDays }
  const withUntagged = statement(db, { after: number }, ({ after }) =>
    db
      .select(columns)
      .from(repository)
      .where(
        sql`${repository.id} = (select m.repository_id from manifest m indexed by manifest_untagged
          where m.untagged_at is not null and m.repository_id > ${after}
          order by m.repository_id limit 1)`,
      ),
  )
  const withPolicy = statement(db, { after: number }, ({ after }) =>
    db
      .select(columns)
      .from(repository)
      .where(sql`${repository.id} > ${after} and ${repository.untaggedDays} > 0`)
      .orderBy(repository.id)
      .limit(1),
  )
  return (after: number, { untaggedDays }: GarbageWindow) =>
    untaggedDays === 0 ? withPolicy.get({ after }) : withUntagged.get({ after })
}

function blobCollection(db: Db, { dropLoose }: CollectedParts) {
  const candidates = statement(db, { before: number, limit: number }, ({ before, limit }) =>
    db
      .select({
        repositoryId: repositoryBlob.repositoryId,
        blobId: repositoryBlob.blobId,
        isNamed: sql<number>`exists (
          select 1 from manifest_reference r where r.digest = blob.digest
          and r.repository_id = repository_blob.repository_id)`,
      })
      .from(repositoryBlob)
      .innerJoin(blob, eq(blob.id, repositoryBlob.blobId))
      .where(lt(repositoryBlob.unreferencedAt, before))
      .orderBy(asc(repositoryBlob.unreferencedAt))
      .limit(limit),
  )
  const markUsed = updateBy(db, repositoryBlob, ['unreferencedAt'], 'blobId', 'repositoryId')
  return {
    /** Removes blobs from repositories whose manifests have not referenced them for the grace period. */
    collectBlobs({ until, garbageWindow, limit }: CollectionCall): CollectionBatch {
      const rows = candidates.all({ before: until - garbageWindow.graceMs, limit })
      const blobs: CollectionBatch['blobs'] = []
      const done = within(rows, (row) => {
        if (row.isNamed === 1) markUsed.run({ ...row, unreferencedAt: null })
        else blobs.push(...dropLoose(row))
      })
      return batchOf({ more: rows.length === limit || done < rows.length, blobs })
    },
  }
}

/** How many rows of a repository one statement removes. */
const ROWS_AT_ONCE = 100

function repositoryCollection(db: Db, { repositories }: Rows, { drop, purge }: CollectedParts) {
  const { oldest, tags, history, manifests, links, removeRepository } = repositoryStatements(db)
  return {
    /**
     * Removes at most `limit` rows of a repository that was deleted before the undo window, within a part's time: tags,
     * then manifests, links and history, and finally its own row. With the first one, its deletion is dated to 1970, so
     * that it can no longer be restored in part.
     */
    collectRepositories({ at, until, garbageWindow, limit }: CollectionCall): CollectionBatch {
      const found = oldest.get({ before: until - garbageWindow.windowMs })
      if (found === undefined) return batchOf({})
      const repositoryId = found.id
      const batch = batchOf({ more: true })
      const isOver = partTime()
      let left = limit
      const some = () => ({ repositoryId, limit: Math.min(left, ROWS_AT_ONCE) })
      const steps: (() => number)[] = [
        () => {
          const { length } = tags.all(some())
          batch.tags += length
          return length
        },
        () => {
          const remove = (row: Parameters<typeof purge.remove>[0]) => {
            batch.bytes += purge.remove(row, at)
          }
          const done = within(manifests.all(some()), remove, isOver)
          batch.manifests += done
          return done
        },
        () => within(links.all(some()), (link) => batch.blobs.push(...drop(link)), isOver),
        () => history.all(some()).length,
      ]
      repositories.setDeleted(repositoryId, 0)
      for (const step of steps) {
        for (let done = 1; done > 0; left -= done) {
          if (left <= 0 || isOver()) return batch
          done = step()
        }
      }
      removeRepository.run({ id: repositoryId })
      return { ...batch, repositories: 1 }
    },
  }
}

const { repository: _, ...manifestColumns } = purgedColumns

function repositoryStatements(db: Db) {
  const some = { repositoryId: number, limit: number }
  const oldest = statement(db, { before: number }, ({ before }) =>
    db
      .select({ id: repository.id })
      .from(repository)
      .where(lt(repository.deletedAt, before))
      .orderBy(asc(repository.deletedAt))
      .limit(1),
  )
  const removeSome = (table: 'tag' | 'tag_history') =>
    statement(db, some, ({ repositoryId, limit }) => {
      const rows = sql.identifier(table)
      return sql<{ rowid: number }>`delete from ${rows} where rowid in (
        select rowid from ${rows} where repository_id = ${repositoryId} limit ${limit}) returning rowid`
    })
  const manifests = statement(db, some, ({ repositoryId, limit }) =>
    db.select(manifestColumns).from(manifest).where(eq(manifest.repositoryId, repositoryId)).limit(limit),
  )
  const links = statement(db, some, ({ repositoryId, limit }) =>
    db
      .select({ repositoryId: repositoryBlob.repositoryId, blobId: repositoryBlob.blobId })
      .from(repositoryBlob)
      .where(eq(repositoryBlob.repositoryId, repositoryId))
      .limit(limit),
  )
  const removeRepository = deleteBy(db, repository, 'id')
  return {
    oldest,
    tags: removeSome('tag'),
    history: removeSome('tag_history'),
    manifests,
    links,
    removeRepository,
  }
}
