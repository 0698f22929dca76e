import { eq } from 'drizzle-orm'
import { type Digest, digestToBytes } from '../../../oci/digest.ts'
import type { Db } from '../../database.ts'
import { insertNew } from '../../rows.ts'
import { blob, blobBytes } from '../../schema/schema.ts'
import { bytes, statement } from '../../statement.ts'

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
export function keepBytes(db: Db): (blobId: number, bytes: Uint8Array) => void {
  const insert = insertNew(db, blobBytes)
  return (blobId, { buffer, byteOffset, length }) =>
    insert.run({ blobId, bytes: Buffer.from(buffer, byteOffset, length) })
}
