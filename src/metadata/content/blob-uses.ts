import { and, asc, eq, gt, isNull } from 'drizzle-orm'
import type { RepositorySet } from '../../domain/repository-set.ts'
import { type Digest, digestToBytes } from '../../oci/digest.ts'
import type { RepositoryName } from '../../oci/reference.ts'
import type { Db } from '../database.ts'
import { blob, repository, repositoryBlob } from '../schema.ts'
import { bytes, statement } from '../statement.ts'
import { isIn } from './repository-condition.ts'

/** A blob's bytes, whoever links them. Times are milliseconds since 1970. */
export interface StoredBlob {
  id: number
  size: number
  storedAt: number
}

/** A repository that links a blob. */
export interface BlobUse {
  repositoryId: number
  repository: RepositoryName
  linkedAt: number
  /** Since when no manifest of the repository names the blob; null while one does. */
  unreferencedAt: number | null
}

/** Reads of where blobs are used. */
export function blobUseReads(db: Db) {
  const stored = statement(db, { digest: bytes }, ({ digest }) =>
    db
      .select({ id: blob.id, size: blob.size, storedAt: blob.storedAt })
      .from(blob)
      .where(eq(blob.digest, digest)),
  )
  return {
    find: (digest: Digest): StoredBlob | undefined => stored.get({ digest: digestToBytes(digest) }),

    /** At most `limit` repositories among those that the caller may pull from, by their ids after `last`. */
    list(blobId: number, pullable: RepositorySet, last: number, limit: number): BlobUse[] {
      const rows = db
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
            gt(repositoryBlob.repositoryId, last),
            isNull(repositoryBlob.deletedAt),
            isNull(repository.deletedAt),
            isIn(pullable),
          ),
        )
        .orderBy(asc(repositoryBlob.repositoryId))
        .limit(limit)
        .all()
      return rows.map((row) => ({ ...row, repository: row.repository as RepositoryName }))
    },
  }
}
