import { and, asc, eq, gt, isNull, type Placeholder, type SQL } from 'drizzle-orm'
import { type Digest, digestFromBytes, digestToBytes } from '../../../oci/digest.ts'
import type { RepositoryName } from '../../../oci/reference.ts'
import type { Db } from '../../database.ts'
import { manifest, repository } from '../../schema/schema.ts'
import { bytes, number, statement, text } from '../../statement.ts'

/** A manifest with a subject, according to its row. */
export interface ReferrerRow {
  digest: Digest
  mediaType: string
  artifactType: string | null
  size: number
}

/** Reads of referrers. */
export function referrerReads(db: Db) {
  const parameters = { name: text, subject: bytes, last: bytes, limit: number }
  type Wanted = { [K in keyof typeof parameters]: Placeholder }
  const page = ({ name, subject, last, limit }: Wanted, filter?: SQL) =>
    db
      .select({
        digest: manifest.digest,
        mediaType: manifest.mediaType,
        artifactType: manifest.artifactType,
        size: manifest.size,
      })
      .from(repository)
      .innerJoin(manifest, eq(manifest.repositoryId, repository.id))
      .where(
        and(
          eq(repository.name, name),
          isNull(repository.deletedAt),
          eq(manifest.subject, subject),
          gt(manifest.digest, last),
          isNull(manifest.deletedAt),
          filter,
        ),
      )
      .orderBy(asc(manifest.digest))
      .limit(limit)
  const all = statement(db, parameters, (wanted) => page(wanted))
  const ofType = statement(db, { ...parameters, artifactType: text }, (wanted) =>
    page(wanted, eq(manifest.artifactType, wanted.artifactType)),
  )
  return {
    /** Returns at most `limit` referrers after `last`, in the order of their digests' bytes. */
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
      return rows.map((row) => ({ ...row, digest: digestFromBytes(row.digest) }))
    },
  }
}
