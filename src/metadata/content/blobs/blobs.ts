import { and, asc, eq, gt, isNull, sql } from 'drizzle-orm'
import type { Caller } from '../../../domain/access/caller.ts'
import { type Digest, digestFromBytes, digestToBytes } from '../../../oci/digest.ts'
import { registryError } from '../../../oci/error.ts'
import type { RepositoryName } from '../../../oci/reference.ts'
import type { Db } from '../../database.ts'
import type { RecordEvent } from '../../events.ts'
import { selectBy, updateBy } from '../../rows.ts'
import {
  blob,
  blobBytes,
  manifest,
  manifestReference,
  repository,
  repositoryBlob,
} from '../../schema/schema.ts'
import { bytes, number, statement, text } from '../../statement.ts'
import type { EnsureRepository, RepositoryReads } from '../repositories/repositories.ts'
import type { LinkBlob, LinkedBlob } from './blob-links.ts'

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

export interface BlobChange {
  caller: Caller
  at: number
  repository: RepositoryName
  digest: Digest
}

interface Parts {
  recordEvent: RecordEvent
  find: RepositoryReads['find']
  ensure: EnsureRepository
  link: LinkBlob
}

/** Writes of blobs, each for one call of the writer. */
export function blobWrites(db: Db, { recordEvent, find, ensure, link }: Parts) {
  const linked = selectLink(db)
  const user = selectUser(db)
  const unlink = updateBy(db, repositoryBlob, ['deletedAt'], 'repositoryId', 'blobId')
  return {
    /** Links a pushed blob into a repository. */
    linkBlob(call: BlobChange & LinkedBlob): void {
      link(ensure.local(call.repository, call.at), call, call.at)
      recordEvent(
        { type: 'blob.push', repository: call.repository, digest: call.digest },
        call.caller,
        call.at,
      )
    },

    /**
     * Links the blob that `from` holds into the repository. Returns its size in bytes, or undefined if nothing
     * changed.
     */
    mountBlob(call: BlobChange & { from: RepositoryName }): number | undefined {
      const size = linked.get({ name: call.from, digest: digestToBytes(call.digest) })?.size
      if (size === undefined) return undefined
      link(ensure.local(call.repository, call.at), { digest: call.digest, size }, call.at)
      recordEvent(
        { type: 'blob.mount', repository: call.repository, digest: call.digest },
        call.caller,
        call.at,
      )
      return size
    },

    /**
     * Deletes a blob from the repository. Throws NAME_UNKNOWN, BLOB_UNKNOWN, or DENIED while a manifest there
     * references it.
     */
    unlinkBlob(call: BlobChange): { stale: 'content' } {
      if (find(call.repository) === undefined) throw registryError('NAME_UNKNOWN')
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
      unlink.run({ ...found, deletedAt: call.at })
      recordEvent(
        { type: 'blob.delete', repository: call.repository, digest: call.digest },
        call.caller,
        call.at,
      )
      return { stale: 'content' }
    },
  }
}

function selectLink(db: Db) {
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

/** Finds a manifest of the repository that is not deleted and references the blob. */
function selectUser(db: Db) {
  return statement(db, { repositoryId: number, digest: bytes }, ({ repositoryId, digest }) =>
    db
      .select({ digest: manifest.digest })
      .from(manifestReference)
      .innerJoin(manifest, eq(manifest.id, manifestReference.manifestId))
      .where(
        and(
          eq(manifestReference.digest, digest),
          eq(manifest.repositoryId, repositoryId),
          isNull(manifest.deletedAt),
        ),
      )
      .limit(1),
  )
}
