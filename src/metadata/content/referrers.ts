import { and, asc, eq, gt, isNull, type SQL, sql } from 'drizzle-orm'
import { type Digest, digestFromBytes, digestToBytes } from '../../oci/digest.ts'
import type { RepositoryName } from '../../oci/reference.ts'
import type { Db } from '../database.ts'
import { manifest, repository } from '../schema.ts'

/** A manifest that names a subject, as its row has it. */
export interface ReferrerRow {
  digest: Digest
  storedAs: Buffer
  mediaType: string
  artifactType: string | null
  size: number
}

export type ReferrerReads = ReturnType<typeof referrerReads>

/** Reads of referrers. */
export function referrerReads(db: Db) {
  const page = (filter: SQL | undefined) =>
    db
      .select({
        storedAs: manifest.digest,
        mediaType: manifest.mediaType,
        artifactType: manifest.artifactType,
        size: manifest.size,
      })
      .from(repository)
      .innerJoin(manifest, eq(manifest.repositoryId, repository.id))
      .where(
        and(
          eq(repository.name, sql.placeholder('name')),
          isNull(repository.deletedAt),
          eq(manifest.subject, sql.placeholder('subject')),
          gt(manifest.digest, sql.placeholder('last')),
          isNull(manifest.deletedAt),
          filter,
        ),
      )
      .orderBy(asc(manifest.digest))
      .limit(sql.placeholder('limit'))
      .prepare()
  const all = page(undefined)
  const ofType = page(eq(manifest.artifactType, sql.placeholder('artifactType')))
  return {
    /** At most `limit` referrers after `last`, in the order of their digests' bytes. */
    list(
      name: RepositoryName,
      subject: Digest,
      artifactType: string | undefined,
      last: Digest | undefined,
      limit: number,
    ): ReferrerRow[] {
      const after = last === undefined ? Buffer.alloc(0) : digestToBytes(last)
      const parameters = { name, subject: digestToBytes(subject), last: after, limit }
      const rows =
        artifactType === undefined ? all.all(parameters) : ofType.all({ ...parameters, artifactType })
      return rows.map((row) => ({ ...row, digest: digestFromBytes(row.storedAs) }))
    },
  }
}
