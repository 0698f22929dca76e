import { sql } from 'drizzle-orm'
import { type Digest, digestToBytes } from '../../../oci/digest.ts'
import type { Db } from '../../database.ts'
import { blob, repositoryBlob } from '../../schema/schema.ts'
import { boolean, bytes, number, statement } from '../../statement.ts'
import { keepBytes } from './blob-bytes.ts'

/** A blob with verified bytes. Those of a small blob are given, all others are durable in a file. */
export interface LinkedBlob {
  digest: Digest
  size: number
  bytes?: Uint8Array | undefined
}

/** Creates or renews the link. It counts as unreferenced from now on, unless a manifest references the blob. */
export type LinkBlob = (repositoryId: number, blob: LinkedBlob, at: number, isCached?: boolean) => void

export function blobLinks(db: Db): LinkBlob {
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
  return (repositoryId, { size, bytes, ...named }, at, isCached = false) => {
    const digest = digestToBytes(named.digest)
    const { id } = ensureBlob.get({ digest, size, at })
    if (bytes) keep(id, bytes)
    ensureLink.run({ repositoryId, blobId: id, digest, at, isCached })
  }
}
