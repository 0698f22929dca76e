import { and, asc, eq, gt, isNull } from 'drizzle-orm'
import type { RepositorySet } from '../../../domain/repository-set.ts'
import { type Digest, digestToBytes } from '../../../oci/digest.ts'
import type { RepositoryName } from '../../../oci/reference.ts'
import type { Db } from '../../database.ts'
import { blob, repository, repositoryBlob } from '../../schema/schema.ts'
import { bytes, number, statement } from '../../statement.ts'
import { type Part, readPart } from '../repositories/visible-pages.ts'

/** A blob, whichever repositories link it. Times are milliseconds since 1970. */
export interface StoredBlob {
  id: number
  size: number
  storedAt: number
  /** When its bytes were last hashed: when it was pushed, or verified later. */
  verifiedAt: number
}

/** A repository that links a blob. */
export interface BlobUse {
  repositoryId: number
  repository: RepositoryName
  linkedAt: number
  /** Since when no manifest of the repository references the blob; null while one does. */
  unreferencedAt: number | null
}

/** Reads of where blobs are used. */
export function blobUseReads(db: Db) {
  const stored = statement(db, { digest: bytes }, ({ digest }) =>
    db
      .select({ id: blob.id, size: blob.size, storedAt: blob.storedAt, verifiedAt: blob.verifiedAt })
      .from(blob)
      .where(eq(blob.digest, digest)),
  )
  const links = statement(db, { blobId: number, after: number, limit: number }, ({ blobId, after, limit }) =>
    db
      .select({
        repositoryId: repository.id,
        repository: repository.name,
        linkedAt: repositoryBlob.linkedAt,
        unreferencedAt: repositoryBlob.unreferencedAt,
      })
      .from(repositoryBlob)
      .innerJoin(repository, eq(repository.id, repositoryBlob.repositoryId))
      .where(
        and(
          eq(repositoryBlob.blobId, blobId),
          gt(repositoryBlob.repositoryId, after),
          isNull(repositoryBlob.deletedAt),
          isNull(repository.deletedAt),
        ),
      )
      .orderBy(asc(repositoryBlob.repositoryId))
      .limit(limit),
  )
  return {
    find: (digest: Digest): StoredBlob | undefined => stored.get({ digest: digestToBytes(digest) }),

    /** Returns at most `limit` repositories of the set that link the blob, after the id `last`. */
    list: (blobId: number, set: RepositorySet, last: number, limit: number): Part<BlobUse, number> =>
      readPart<BlobUse, number>(
        {
          read: (after, size) => links.all({ blobId, after, limit: size }) as BlobUse[],
          keyOf: ({ repositoryId }) => repositoryId,
          isShown: (use) => set.has(use.repository),
        },
        last,
        limit,
      ),
  }
}
