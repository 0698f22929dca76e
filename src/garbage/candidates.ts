import { and, asc, eq, isNull, type Placeholder, type SQL, sql } from 'drizzle-orm'
import type { SQLiteColumn } from 'drizzle-orm/sqlite-core'
import type { Db } from '../database/database.ts'
import { blob, manifest, repository, repositoryBlob, tag } from '../database/schema.ts'
import { bytes, number, statement } from '../database/statement.ts'
import { type Digest, digestFromBytes, type RepositoryName, type Tag } from '../oci/reference.ts'
import { type GarbageWindow, untaggedMs } from '../registry/store.ts'
import { untaggedWalk } from './collection.ts'

declare module '../database/metadata.ts' {
  interface Reads {
    garbage: ReturnType<typeof garbageReads>
  }
}

/** Content that will be deleted unless something changes. */
export interface Candidate {
  kind: 'tag' | 'manifest' | 'repository' | 'blob'
  repository: RepositoryName
  digest?: Digest
  tag?: Tag
  why: 'expired' | 'deleted' | 'unreferenced' | 'untagged'
  /** Since when it is garbage, and when it will be deleted, in milliseconds since 1970. */
  since: number
  collectableAt: number
  /** A lower bound of the bytes that this frees, including what becomes garbage because of it. */
  bytes: number
}

/** The position of a page: the row with these values in the source of this number. */
export interface GarbageCursor {
  source: number
  after: [number, number, number]
}

/** The maximum repositories without garbage that one page skips. */
const REPOSITORIES_PASSED_MAX = 200

type Source = (after: GarbageCursor['after'], limit: number, garbageWindow: GarbageWindow) => Found[]
type Found = { after: GarbageCursor['after']; candidate: Candidate | undefined }

/** Reads of the candidates of garbage collection. */
export function garbageReads(db: Db) {
  const bytesOf = garbageBytes(db)
  const sources: Source[] = [
    expiredTags(db),
    markedManifests(db, bytesOf, manifest.deletedAt, 'deleted'),
    markedManifests(db, bytesOf, manifest.unreferencedAt, 'unreferenced'),
    untaggedManifests(db, bytesOf),
    deletedRepositories(db),
    unreferencedBlobs(db),
  ]
  return {
    /** Returns at most `limit` candidates after the cursor. A page may be short or empty and still have a next one. */
    page(
      cursor: GarbageCursor,
      garbageWindow: GarbageWindow,
      limit: number,
    ): { items: Candidate[]; next: GarbageCursor | undefined } {
      const items: Candidate[] = []
      let { source, after } = cursor
      for (; source < sources.length; source++, after = [0, 0, 0]) {
        const wanted = limit - items.length
        const found = sources[source]?.(after, wanted, garbageWindow) ?? []
        for (const { candidate } of found) if (candidate) items.push(candidate)
        const last = found.at(-1)
        const isCut = last !== undefined && (found.length >= wanted || last.candidate === undefined)
        if (isCut) return { items, next: { source, after: last.after } }
      }
      return { items, next: undefined }
    },
  }
}

const cursor = { stamp: number, id: number, limit: number }

const after = (stamp: SQLiteColumn, id: SQL | SQLiteColumn, from: { stamp: Placeholder; id: Placeholder }) =>
  sql`${stamp} >= ${from.stamp} and (${stamp} > ${from.stamp} or ${id} > ${from.id})`

/** Returns a candidate at its position, which will be deleted when it has been garbage for `keptMs`. */
function found(
  after: GarbageCursor['after'],
  keptMs: number,
  candidate: Omit<Candidate, 'repository' | 'collectableAt'> & { repository: string },
): Found {
  const repository = candidate.repository as RepositoryName
  return { after, candidate: { ...candidate, repository, collectableAt: candidate.since + keptMs } }
}

function expiredTags(db: Db): Source {
  const rowid = sql<number>`tag.rowid`
  const page = statement(db, cursor, ({ limit, ...from }) =>
    db
      .select({
        id: rowid,
        repository: repository.name,
        tag: tag.name,
        digest: tag.digest,
        since: sql<number>`${tag.expiresAt}`,
      })
      .from(tag)
      .innerJoin(repository, eq(repository.id, tag.repositoryId))
      .where(after(tag.expiresAt, rowid, from))
      .orderBy(asc(tag.expiresAt), rowid)
      .limit(limit),
  )
  return ([stamp, id], limit) =>
    page.all({ stamp, id, limit }).map(({ id, repository, tag, digest, since }) => {
      const named = { repository, tag: tag as Tag, digest: digestFromBytes(digest) }
      return found([since, id, 0], 0, { kind: 'tag', ...named, why: 'expired', since, bytes: 0 })
    })
}

function manifestColumns(stamp: SQLiteColumn) {
  return {
    id: manifest.id,
    repositoryId: manifest.repositoryId,
    repository: repository.name,
    digest: manifest.digest,
    since: sql<number>`${stamp}`,
  }
}

function markedManifests(db: Db, bytesOf: GarbageBytes, stamp: SQLiteColumn, why: Candidate['why']): Source {
  const page = statement(db, cursor, ({ limit, ...from }) =>
    db
      .select(manifestColumns(stamp))
      .from(manifest)
      .innerJoin(repository, eq(repository.id, manifest.repositoryId))
      .where(after(stamp, manifest.id, from))
      .orderBy(asc(stamp), asc(manifest.id))
      .limit(limit),
  )
  return ([stamp, id], limit, { windowMs }) =>
    page.all({ stamp, id, limit }).map(({ id, repositoryId, repository, since, ...row }) => {
      const digest = digestFromBytes(row.digest)
      const bytes = bytesOf(repositoryId, id)
      return found([since, id, 0], windowMs, { kind: 'manifest', repository, digest, why, since, bytes })
    })
}

/** The cursor is the repository, the time, and the manifest. */
function untaggedManifests(db: Db, bytesOf: GarbageBytes): Source {
  const nextUntagged = untaggedWalk(db)
  const page = statement(db, { ...cursor, repositoryId: number }, ({ repositoryId, limit, ...from }) =>
    db
      .select(manifestColumns(manifest.untaggedAt))
      .from(manifest)
      .innerJoin(repository, eq(repository.id, manifest.repositoryId))
      .where(and(eq(manifest.repositoryId, repositoryId), after(manifest.untaggedAt, manifest.id, from)))
      .orderBy(asc(manifest.untaggedAt), asc(manifest.id))
      .limit(limit),
  )
  return ([repositoryId, stamp, id], limit, garbageWindow) => {
    const all: Found[] = []
    let from = { repositoryId, stamp, id }
    for (let passed = 0; passed < REPOSITORIES_PASSED_MAX && all.length < limit; passed++) {
      const next = nextUntagged(from.repositoryId - 1, garbageWindow)
      if (next === undefined) return all
      if (next.id !== from.repositoryId) from = { repositoryId: next.id, stamp: 0, id: 0 }
      const keptMs = untaggedMs(garbageWindow, next.untaggedDays)
      const rows = keptMs === undefined ? [] : page.all({ ...from, limit: limit - all.length })
      for (const { id, repositoryId, repository, since, ...row } of rows) {
        const named = { repository, digest: digestFromBytes(row.digest), bytes: bytesOf(repositoryId, id) }
        const position: GarbageCursor['after'] = [repositoryId, since, id]
        all.push(found(position, keptMs ?? 0, { kind: 'manifest', ...named, why: 'untagged', since }))
      }
      from = { repositoryId: next.id + 1, stamp: 0, id: 0 }
    }
    if (all.length < limit) all.push({ after: [from.repositoryId, 0, 0], candidate: undefined })
    return all
  }
}

function deletedRepositories(db: Db): Source {
  const page = statement(db, cursor, ({ limit, ...from }) =>
    db
      .select({
        id: repository.id,
        repository: repository.name,
        since: sql<number>`${repository.deletedAt}`,
        bytes: repository.ownBytes,
      })
      .from(repository)
      .where(after(repository.deletedAt, repository.id, from))
      .orderBy(asc(repository.deletedAt), asc(repository.id))
      .limit(limit),
  )
  return ([stamp, id], limit, { windowMs }) =>
    page
      .all({ stamp, id, limit })
      .map(({ id, ...row }) =>
        found([row.since, id, 0], windowMs, { kind: 'repository', ...row, why: 'deleted' }),
      )
}

function unreferencedBlobs(db: Db): Source {
  const { repositoryId, blobId, unreferencedAt } = repositoryBlob
  const page = statement(db, { ...cursor, blobId: number }, ({ limit, ...from }) =>
    db
      .select({
        id: repositoryId,
        blobId,
        repository: repository.name,
        digest: blob.digest,
        since: sql<number>`${unreferencedAt}`,
        bytes: sql<number>`iif(exists (select 1 from repository_blob o
          where o.blob_id = repository_blob.blob_id and o.repository_id <> repository_blob.repository_id), 0, ${blob.size})`,
      })
      .from(repositoryBlob)
      .innerJoin(blob, eq(blob.id, repositoryBlob.blobId))
      .innerJoin(repository, eq(repository.id, repositoryBlob.repositoryId))
      .where(
        sql`${unreferencedAt} >= ${from.stamp}
          and (${unreferencedAt}, ${repositoryId}, ${blobId}) > (${from.stamp}, ${from.id}, ${from.blobId})
          and ${isNull(repository.deletedAt)}`,
      )
      .orderBy(asc(unreferencedAt), asc(repositoryId), asc(blobId))
      .limit(limit),
  )
  return ([stamp, id, blobId], limit, { graceMs }) =>
    page.all({ stamp, id, blobId, limit }).map(({ id, blobId, repository, digest, since, bytes }) => {
      const named = { repository, digest: digestFromBytes(digest), bytes }
      return found([since, id, blobId], graceMs, { kind: 'blob', ...named, why: 'unreferenced', since })
    })
}

/** The maximum manifests that are examined for one candidate. The bytes of further ones are not counted. */
const MANIFESTS_MAX = 100
const LIMIT = sql.raw(`limit ${MANIFESTS_MAX}`)

type GarbageBytes = ReturnType<typeof garbageBytes>

/**
 * Returns how many bytes deleting a manifest frees, including everything that only it references. A blob of several
 * garbage manifests counts for the first of them.
 */
function garbageBytes(db: Db) {
  const ofManifest = <Row>(build: (id: Placeholder) => SQL<Row>) =>
    statement(db, { id: number }, ({ id }) => build(id))
  const reachable = ofManifest<{ id: number }>(
    (id) => sql`select c.id from manifest_reference r
       join manifest c on c.digest = r.digest and c.repository_id = r.repository_id
       where r.manifest_id = ${id} and r.role = 'child' and c.deleted_at is null and c.unreferenced_at is null
     union all select f.id from manifest m join manifest f on f.repository_id = m.repository_id and f.subject = m.digest
       where m.id = ${id} and f.deleted_at is null and f.unreferenced_at is null ${LIMIT}`,
  )
  const reachers = ofManifest<{ id: number }>(
    (id) => sql`select 0 as id where exists (select 1 from tag where manifest_id = ${id})
     union all select r.manifest_id from manifest c
       join manifest_reference r on r.digest = c.digest and r.repository_id = c.repository_id and r.role = 'child'
       join manifest p on p.id = r.manifest_id where c.id = ${id} and p.deleted_at is null
     union all select s.id from manifest f join manifest s on s.digest = f.subject and s.repository_id = f.repository_id
       where f.id = ${id} and s.deleted_at is null
     ${LIMIT}`,
  )
  const ownBytes = ofManifest<{ size: number }>(
    (id) => sql`select m.size from manifest m where m.id = ${id}
       and not exists (select 1 from manifest o where o.digest = m.digest and o.id <> m.id)`,
  )
  const ownBlobs = ofManifest<{ id: number; digest: Buffer; size: number }>(
    (id) => sql`select b.id, b.digest, b.size from manifest_reference r join blob b on b.digest = r.digest
     join repository_blob l on l.blob_id = b.id and l.repository_id = r.repository_id
     where r.manifest_id = ${id} and l.unreferenced_at is null and not exists (
       select 1 from repository_blob o where o.blob_id = b.id and o.repository_id <> r.repository_id)`,
  )
  const users = statement(
    db,
    { digest: bytes, repositoryId: number },
    ({ digest, repositoryId }) =>
      sql<{ id: number; isGarbage: number }>`select r.manifest_id as id,
        m.deleted_at is not null or m.unreferenced_at is not null as isGarbage
      from manifest_reference r join manifest m on m.id = r.manifest_id
      where r.digest = ${digest} and r.repository_id = ${repositoryId} ${LIMIT}`,
  )
  /** The manifest, and what is deleted with it. */
  const wholeOf = (root: number): Set<number> => {
    const whole = new Set([root])
    for (const id of whole) {
      for (const next of reachable.all({ id })) {
        if (whole.size >= MANIFESTS_MAX) return whole
        if (reachers.all({ id: next.id }).every((reacher) => whole.has(reacher.id))) whole.add(next.id)
      }
    }
    return whole
  }
  return (repositoryId: number, root: number): number => {
    const whole = wholeOf(root)
    const blobs = new Map<number, number>()
    let bytes = 0
    for (const id of whole) {
      bytes += ownBytes.get({ id })?.size ?? 0
      for (const blob of ownBlobs.all({ id })) {
        if (blobs.has(blob.id)) continue
        const others = users.all({ digest: blob.digest, repositoryId }).filter((user) => !whole.has(user.id))
        const isOurs =
          others.length < MANIFESTS_MAX && others.every(({ id, isGarbage }) => isGarbage && id > root)
        blobs.set(blob.id, isOurs ? blob.size : 0)
      }
    }
    return bytes + blobs.values().reduce((sum, size) => sum + size, 0)
  }
}
