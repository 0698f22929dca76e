import { and, asc, eq, gt, isNull, type SQL, sql } from 'drizzle-orm'
import type { Caller } from '../../domain/caller.ts'
import type { RepositorySet } from '../../domain/repository-set.ts'
import { type Digest, digestFromBytes, digestToBytes } from '../../oci/digest.ts'
import { registryError } from '../../oci/error.ts'
import type { RepositoryName } from '../../oci/reference.ts'
import type { Db } from '../database.ts'
import { eventWrites } from '../events.ts'
import { blob, manifest, manifestReference, repository, repositoryBlob } from '../schema.ts'
import { ensureRepository, repositoryReads } from './repositories.ts'
import { isIn } from './repository-condition.ts'

export type BlobReads = ReturnType<typeof blobReads>

/** Reads of blobs, always through the repository that they are reached by. */
export function blobReads(db: Db) {
  const link = selectLink(db, isNull(repositoryBlob.deletedAt)).prepare()
  const stored = db
    .select({ id: blob.id })
    .from(blob)
    .where(eq(blob.digest, sql.placeholder('digest')))
    .prepare()
  const page = db
    .select({ id: blob.id, digest: blob.digest, size: blob.size })
    .from(blob)
    .where(gt(blob.id, sql.placeholder('after')))
    .orderBy(asc(blob.id))
    .limit(sql.placeholder('limit'))
    .prepare()
  return {
    /** At most `limit` blobs after the one with this id. */
    stored: (after: number, limit: number): { id: number; digest: Digest; size: number }[] =>
      page.all({ after, limit }).map((row) => ({ ...row, digest: digestFromBytes(row.digest) })),

    /** The size in bytes of a blob that the repository holds. */
    findSize: (name: RepositoryName, digest: Digest): number | undefined =>
      link.get({ name, digest: digestToBytes(digest) })?.size,

    /** A blob that the repository holds: its size in bytes, and since when no manifest there names it. */
    find: (
      name: RepositoryName,
      digest: Digest,
    ): { size: number; unreferencedAt: number | null } | undefined =>
      link.get({ name, digest: digestToBytes(digest) }),

    /** Whether any repository, hidden or not, has the blob: its bytes must stay. */
    isStored: (digest: Digest): boolean => stored.get({ digest: digestToBytes(digest) }) !== undefined,

    /** A repository among those that the caller may pull from, which holds the blob. */
    findSource(digest: Digest, pullable: RepositorySet): RepositoryName | undefined {
      const row = db
        .select({ name: repository.name })
        .from(blob)
        .innerJoin(repositoryBlob, eq(repositoryBlob.blobId, blob.id))
        .innerJoin(repository, eq(repository.id, repositoryBlob.repositoryId))
        .where(
          and(
            eq(blob.digest, digestToBytes(digest)),
            isNull(repositoryBlob.deletedAt),
            isNull(repository.deletedAt),
            isIn(pullable),
          ),
        )
        .limit(1)
        .get()
      return row?.name as RepositoryName | undefined
    },
  }
}

export interface BlobChange {
  caller: Caller
  at: number
  repository: RepositoryName
  digest: Digest
}

/** Writes of blobs, each for one call of the writer. */
export function blobWrites(db: Db) {
  const ensure = ensureRepository(db)
  const { tell } = eventWrites(db)
  const { find: findRepository } = repositoryReads(db)
  const link = linkBlob(db)
  const linked = selectLink(db, isNull(repositoryBlob.deletedAt)).prepare()
  const user = selectUser(db)
  const unlink = db
    .update(repositoryBlob)
    .set({ deletedAt: sql`${sql.placeholder('at')}` })
    .where(
      and(
        eq(repositoryBlob.repositoryId, sql.placeholder('repositoryId')),
        eq(repositoryBlob.blobId, sql.placeholder('blobId')),
      ),
    )
    .prepare()
  return {
    /** Names a blob whose bytes are verified, on disk and synced. */
    linkBlob(call: BlobChange & { size: number }): void {
      link(ensure(call.repository, call.at), call.digest, call.size, call.at)
      tell({ type: 'blob.push', repository: call.repository, digest: call.digest }, call.caller, call.at)
    },

    /** Links the blob that `from` holds into the repository; answers its size, or undefined without a change. */
    mountBlob(call: BlobChange & { from: RepositoryName }): number | undefined {
      const size = linked.get({ name: call.from, digest: digestToBytes(call.digest) })?.size
      if (size === undefined) return undefined
      link(ensure(call.repository, call.at), call.digest, size, call.at)
      tell({ type: 'blob.mount', repository: call.repository, digest: call.digest }, call.caller, call.at)
      return size
    },

    /** Hides a blob from the repository. Throws NAME_UNKNOWN, BLOB_UNKNOWN, or DENIED while a manifest there names it. */
    unlinkBlob(call: BlobChange): { stale: 'content' } {
      if (findRepository(call.repository) === undefined) throw registryError('NAME_UNKNOWN')
      const digest = digestToBytes(call.digest)
      const found = linked.get({ name: call.repository, digest })
      if (found === undefined)
        throw registryError('BLOB_UNKNOWN', undefined, { detail: { digest: call.digest } })
      const using = user.get({ repositoryId: found.repositoryId, digest })
      if (using !== undefined) {
        throw registryError(
          'DENIED',
          `the blob is in use by manifest ${using.digest.length === 32 ? 'sha256' : 'sha512'}:` +
            `${using.digest.toString('hex')} of ${call.repository}; delete that manifest first`,
          { status: 405 },
        )
      }
      unlink.run({ repositoryId: found.repositoryId, blobId: found.blobId, at: call.at })
      tell({ type: 'blob.delete', repository: call.repository, digest: call.digest }, call.caller, call.at)
      return { stale: 'content' }
    },
  }
}

function selectLink(db: Db, state: SQL) {
  return db
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
        eq(repository.name, sql.placeholder('name')),
        isNull(repository.deletedAt),
        eq(blob.digest, sql.placeholder('digest')),
        state,
      ),
    )
}

/** A manifest of the repository that is not deleted and names the blob. */
function selectUser(db: Db) {
  return db
    .select({ digest: manifest.digest })
    .from(manifestReference)
    .innerJoin(manifest, eq(manifest.id, manifestReference.manifestId))
    .where(
      and(
        eq(manifestReference.digest, sql.placeholder('digest')),
        eq(manifest.repositoryId, sql.placeholder('repositoryId')),
        isNull(manifest.deletedAt),
      ),
    )
    .limit(1)
    .prepare()
}

/** Makes or renews the link: it counts as unreferenced from now on, unless or until a manifest names the blob. */
export function linkBlob(db: Db) {
  const ensureBlob = db
    .insert(blob)
    .values({
      digest: sql.placeholder('digest'),
      size: sql.placeholder('size'),
      storedAt: sql.placeholder('at'),
      verifiedAt: sql.placeholder('at'),
    })
    .onConflictDoUpdate({ target: blob.digest, set: { verifiedAt: sql`excluded.verified_at` } })
    .returning({ id: blob.id })
    .prepare()
  const ensureLink = db
    .insert(repositoryBlob)
    .values({
      repositoryId: sql.placeholder('repositoryId'),
      blobId: sql.placeholder('blobId'),
      linkedAt: sql.placeholder('at'),
      unreferencedAt: sql`iif(exists (select 1 from manifest_reference r
        where r.digest = ${sql.placeholder('digest')} and r.repository_id = ${sql.placeholder('repositoryId')}),
        null, ${sql.placeholder('at')})`,
      isCached: sql`${sql.placeholder('isCached')}`,
    })
    .onConflictDoUpdate({
      target: [repositoryBlob.blobId, repositoryBlob.repositoryId],
      set: {
        deletedAt: null,
        unreferencedAt: sql`iif(repository_blob.unreferenced_at is null, null, excluded.unreferenced_at)`,
        // What was pushed stays pushed.
        isCached: sql`min(excluded.is_cached, iif(repository_blob.deleted_at is null, repository_blob.is_cached, 1))`,
      },
    })
    .prepare()
  return (repositoryId: number, digest: Digest, size: number, at: number, isCached = false) => {
    const values = { repositoryId, digest: digestToBytes(digest), size, at, isCached: Number(isCached) }
    const { id } = ensureBlob.get(values)
    ensureLink.run({ ...values, blobId: id })
  }
}
