import { and, asc, eq, gt, isNull, sql } from 'drizzle-orm'
import type { RepositorySet } from '../access/patterns.ts'
import type { Db } from '../database/database.ts'
import { blob, blobBytes, manifest, repository, repositoryBlob } from '../database/schema.ts'
import { boolean, bytes, insertNew, number, selectBy, statement, text } from '../database/statement.ts'
import { type Digest, digestFromBytes, digestToBytes, type RepositoryName } from '../oci/reference.ts'
import type { RepositoryReads } from './repositories.ts'

/** Reads of blobs, mostly through a repository. */
export function blobReads(db: Db) {
  const link = selectLink(db)
  const stored = selectBy(db, blob, 'digest')
  const page = statement(db, { after: number, limit: number }, ({ after, limit }) =>
    db
      .select({
        id: blob.id,
        digest: blob.digest,
        size: blob.size,
        bytesHere: sql<number | null>`length(${blobBytes.bytes})`,
      })
      .from(blob)
      .leftJoin(blobBytes, eq(blobBytes.blobId, blob.id))
      .where(gt(blob.id, after))
      .orderBy(asc(blob.id))
      .limit(limit),
  )
  return {
    /** Returns at most `limit` blobs after the one with this id. */
    stored: (after: number, limit: number): StoredBlob[] =>
      page.all({ after, limit }).map((row) => ({ ...row, digest: digestFromBytes(row.digest) })),

    /** Returns the size in bytes of a blob in the repository. */
    findSize: (name: RepositoryName, digest: Digest): number | undefined =>
      link.get({ name, digest: digestToBytes(digest) })?.size,

    /** Returns the size in bytes of a blob in the repository, and since when no manifest there references it. */
    find: (
      name: RepositoryName,
      digest: Digest,
    ): { size: number; unreferencedAt: number | null } | undefined =>
      link.get({ name, digest: digestToBytes(digest) }),

    /** Returns the id of a blob, whichever repositories link it. */
    findId: (digest: Digest): number | undefined => stored.get({ digest: digestToBytes(digest) })?.id,

    /** Reports whether any repository, deleted or not, has the blob, so that its bytes must stay. */
    isStored: (digest: Digest): boolean => stored.get({ digest: digestToBytes(digest) }) !== undefined,
  }
}

/** A blob, whichever repositories link it. */
export interface StoredBlob {
  id: number
  digest: Digest
  size: number
  /** How many of its bytes the database has; null when they are in a file. */
  bytesHere: number | null
}

export function selectLink(db: Db) {
  return statement(db, { name: text, digest: bytes }, ({ name, digest }) =>
    db
      .select({
        size: blob.size,
        unreferencedAt: repositoryBlob.unreferencedAt,
        blobId: blob.id,
        repositoryId: repository.id,
      })
      .from(repository)
      .innerJoin(repositoryBlob, eq(repositoryBlob.repositoryId, repository.id))
      .innerJoin(blob, eq(blob.id, repositoryBlob.blobId))
      .where(
        and(
          eq(repository.name, name),
          isNull(repository.deletedAt),
          eq(blob.digest, digest),
          isNull(repositoryBlob.deletedAt),
        ),
      ),
  )
}

/** Reads of the bytes of small blobs, whichever repositories link them. */
export function blobBytesReads(db: Db) {
  const whole = statement(db, { digest: bytes }, ({ digest }) =>
    db
      .select({ bytes: blobBytes.bytes })
      .from(blob)
      .innerJoin(blobBytes, eq(blobBytes.blobId, blob.id))
      .where(eq(blob.digest, digest)),
  )
  const found = statement(db, { digest: bytes }, ({ digest }) =>
    db
      .select({ id: blobBytes.blobId })
      .from(blob)
      .innerJoin(blobBytes, eq(blobBytes.blobId, blob.id))
      .where(eq(blob.digest, digest)),
  )
  return {
    find: (digest: Digest): Uint8Array | undefined => whole.get({ digest: digestToBytes(digest) })?.bytes,

    /**
     * Reports whether the database has the bytes. In a data folder of an earlier version, a small blob may have a
     * file instead.
     */
    has: (digest: Digest): boolean => found.get({ digest: digestToBytes(digest) }) !== undefined,
  }
}

/** Stores the verified bytes of a small blob, once for all repositories. They are removed with the blob's row. */
function keepBytes(db: Db): (blobId: number, bytes: Uint8Array) => void {
  const insert = insertNew(db, blobBytes)
  return (blobId, { buffer, byteOffset, length }) =>
    insert.run({ blobId, bytes: Buffer.from(buffer, byteOffset, length) })
}

/** A blob with verified bytes. Those of a small blob are given, all others are durable in a file. */
export interface LinkedBlob {
  digest: Digest
  size: number
  bytes?: Uint8Array | undefined
}

/**
 * Returns a function that creates or renews a link. It counts as unreferenced from now on, unless a manifest references
 * the blob.
 */
export function blobLinks(db: Db) {
  const ensureBlob = statement(db, { digest: bytes, size: number, at: number }, ({ digest, size, at }) =>
    db
      .insert(blob)
      .values({ digest, size, storedAt: at, verifiedAt: at })
      .onConflictDoUpdate({ target: blob.digest, set: { verifiedAt: sql`excluded.verified_at` } })
      .returning({ id: blob.id }),
  )
  const ensureLink = statement(
    db,
    { repositoryId: number, blobId: number, digest: bytes, at: number, isCached: boolean },
    ({ repositoryId, blobId, digest, at, isCached }) =>
      db
        .insert(repositoryBlob)
        .values({
          repositoryId,
          blobId,
          linkedAt: at,
          unreferencedAt: sql`iif(exists (select 1 from manifest_reference r
            where r.digest = ${digest} and r.repository_id = ${repositoryId}), null, ${at})`,
          isCached: sql`${isCached}`,
        })
        .onConflictDoUpdate({
          target: [repositoryBlob.blobId, repositoryBlob.repositoryId],
          set: {
            deletedAt: null,
            unreferencedAt: sql`iif(repository_blob.unreferenced_at is null, null, excluded.unreferenced_at)`,
            // Pushed content does not become cached.
            isCached: sql`min(excluded.is_cached, iif(repository_blob.deleted_at is null, repository_blob.is_cached, 1))`,
          },
        }),
  )
  const keep = keepBytes(db)
  return (
    repositoryId: number,
    { size, bytes, ...named }: LinkedBlob,
    at: number,
    isCached = false,
  ): void => {
    const digest = digestToBytes(named.digest)
    const { id } = ensureBlob.get({ digest, size, at })
    if (bytes) keep(id, bytes)
    ensureLink.run({ repositoryId, blobId: id, digest, at, isCached })
  }
}

/** How many links, and how many repositories of the caller, one search examines. */
const LINKS_MAX = 256
const REPOSITORIES_MAX = 256

interface Link {
  blobId: number
  repository: RepositoryName
  isVisible: number
}

/**
 * Finds a repository that holds a blob among those that a caller may pull from. A blob that the caller may not see costs
 * as much as one that does not exist: the same number of links is read, whichever blobs they are of.
 */
export function blobSources(
  db: Db,
  { list }: Pick<RepositoryReads, 'list'>,
  { findId }: { findId: (digest: Digest) => number | undefined },
) {
  const linksFrom = statement(
    db,
    { blobId: number, limit: number },
    ({ blobId, limit }) => sql<Link>`
      select link.blob_id as blobId, repository.name as repository,
      link.deleted_at is null and repository.deleted_at is null as isVisible
      from repository_blob link cross join repository on repository.id = link.repository_id
      where link.blob_id >= ${blobId} order by link.blob_id, link.repository_id limit ${limit}`,
  )
  const linked = statement(
    db,
    { blobId: number, ids: text },
    ({ blobId, ids }) => sql<{ id: number }>`
      select value as id from json_each(${ids}) cross join repository_blob link
      on link.blob_id = ${blobId} and link.repository_id = value where link.deleted_at is null limit 1`,
  )
  const findLink = (blobId: number, from: number, limit: number, set: RepositorySet) => {
    const links = linksFrom.all({ blobId: from, limit })
    const shown = links.filter((link) => set.has(link.repository))
    const found = shown.find((link) => link.blobId === blobId && link.isVisible === 1)
    return { found: found?.repository, count: links.length }
  }
  return {
    /**
     * Returns undefined when there is none; never throws. If more repositories hold the blob than one search
     * examines, it may miss some that the caller may pull from.
     */
    findSource(digest: Digest, set: RepositorySet): RepositoryName | undefined {
      const blobId = findId(digest) ?? 0
      const { found, count } = findLink(blobId, blobId, LINKS_MAX, set)
      if (found !== undefined) return found
      findLink(blobId, 0, LINKS_MAX - count, set)
      const { rows } = list(set, '', REPOSITORIES_MAX)
      const ids = JSON.stringify(rows.map(({ id }) => id))
      const id = linked.get({ blobId, ids })?.id
      return rows.find((row) => row.id === id)?.name
    },
  }
}

/** Writes that protect content that a push in progress may reference from garbage collection. */
export function renewalWrites(db: Db) {
  const renewBlob = statement(
    db,
    { at: number, digest: bytes, repository: text },
    ({ at, digest, repository }) =>
      sql<{ blob_id: number }>`update repository_blob
        set unreferenced_at = iif(unreferenced_at is null, null, max(unreferenced_at, ${at}))
        where blob_id = (select id from blob where digest = ${digest})
          and repository_id = (select id from repository where name = ${repository} and deleted_at is null)
          and deleted_at is null
        returning blob_id`,
  )
  const renewManifest = statement(db, { id: number, since: number }, ({ id, since }) =>
    db
      .update(manifest)
      .set({
        unreferencedAt: sql`iif(unreferenced_at is null, null, max(unreferenced_at, ${since}))`,
        untaggedAt: sql`iif(untagged_at is null, null, max(untagged_at, ${since}))`,
      })
      .where(and(eq(manifest.id, id), isNull(manifest.deletedAt)))
      .returning({ id: manifest.id }),
  )
  return {
    /** Dates an unreferenced blob to `at`. Returns whether the repository still has it. */
    renewBlob: (call: { at: number; repository: RepositoryName; digest: Digest }): boolean =>
      renewBlob.get({ ...call, digest: digestToBytes(call.digest) }) !== undefined,

    /** Dates an unreferenced manifest to `since`. Returns whether it still exists. */
    renewManifest: (call: { id: number; since: number }): boolean => renewManifest.get(call) !== undefined,
  }
}
