import { sql } from 'drizzle-orm'
import { type Digest, type DigestRange, digestFromBytes } from '../../oci/digest.ts'
import type { Db } from '../database.ts'
import { blob, manifest, manifestDigest, repositoryBlob } from '../schema/schema.ts'
import { bytes, number, statement } from '../statement.ts'

/** The maximum rows of one read. Six hex characters distinguish 16 million digests. */
const ROWS_MAX = 200

/** Reads of the digests in a range, to complete shortened digests. */
export function digestSearch(db: Db) {
  const range = { low: bytes, high: bytes, size: number, repositoryId: number, deleted: number }
  const manifests = statement(db, range, ({ low, high, size, repositoryId, deleted }) =>
    db
      .select({ digest: manifest.digest })
      .from(manifest)
      .where(
        sql`${manifest.digest} between ${low} and ${high} and length(${manifest.digest}) = ${size}
          and ${repositoryId} in (0, ${manifest.repositoryId})
          and (${deleted} = 1 or ${manifest.deletedAt} is null)`,
      )
      .limit(ROWS_MAX),
  )
  const others = statement(db, range, ({ low, high, size, repositoryId, deleted }) =>
    db
      .select({ digest: manifestDigest.digest })
      .from(manifestDigest)
      .innerJoin(manifest, sql`${manifest.id} = ${manifestDigest.manifestId}`)
      .where(
        sql`${manifestDigest.digest} between ${low} and ${high} and length(${manifestDigest.digest}) = ${size}
          and ${repositoryId} in (0, ${manifest.repositoryId})
          and (${deleted} = 1 or ${manifest.deletedAt} is null)`,
      )
      .limit(ROWS_MAX),
  )
  const blobs = statement(db, range, ({ low, high, size, repositoryId, deleted }) =>
    db
      .select({ digest: blob.digest })
      .from(blob)
      .where(
        sql`${blob.digest} between ${low} and ${high} and length(${blob.digest}) = ${size}
          and (${repositoryId} = 0 or exists (select 1 from ${repositoryBlob}
            where ${repositoryBlob.blobId} = ${blob.id} and ${repositoryBlob.repositoryId} = ${repositoryId}
            and (${deleted} = 1 or ${repositoryBlob.deletedAt} is null)))`,
      )
      .limit(ROWS_MAX),
  )
  /**
   * Returns the distinct digests of manifests and blobs in the range, in one repository or in all.
   *
   * @param deleted whether to include deleted content, for callers who can restore it
   */
  return (found: DigestRange, repositoryId: number | undefined, deleted: boolean): Digest[] => {
    const asked = { ...found, repositoryId: repositoryId ?? 0, deleted: Number(deleted) }
    const rows = [...manifests.all(asked), ...others.all(asked), ...blobs.all(asked)]
    return [...new Set(rows.map(({ digest }) => digestFromBytes(digest)))]
  }
}
