import { and, eq, isNotNull, isNull, sql } from 'drizzle-orm'
import { digestToBytes } from '../../oci/digest.ts'
import { RegistryError } from '../../oci/error.ts'
import type { ManifestReference } from '../../oci/manifest.ts'
import type { Db } from '../database.ts'
import { blob, manifestReference, repositoryBlob } from '../schema.ts'
import { bytes, number, statement, text } from '../statement.ts'
import type { ManifestPut } from './manifest-put.ts'
import type { FindManifest } from './manifest-rows.ts'

export type ReferenceRows = ReturnType<typeof referenceRows>

/** The rows that say what a manifest names. */
export function referenceRows(db: Db, find: FindManifest) {
  const linked = statement(db, { digest: bytes, repositoryId: number }, ({ digest, repositoryId }) =>
    db
      .select({ id: blob.id })
      .from(blob)
      .innerJoin(repositoryBlob, eq(repositoryBlob.blobId, blob.id))
      .where(
        and(
          eq(blob.digest, digest),
          eq(repositoryBlob.repositoryId, repositoryId),
          isNull(repositoryBlob.deletedAt),
        ),
      ),
  )
  const insert = statement(
    db,
    { manifestId: number, digest: bytes, role: text, repositoryId: number },
    (row) => db.insert(manifestReference).values(row).onConflictDoNothing(),
  )
  const markUsed = statement(
    db,
    { repositoryId: number, manifestId: number },
    ({ repositoryId, manifestId }) => {
      const named = sql`${repositoryBlob.repositoryId} = ${repositoryId} and ${repositoryBlob.blobId} in (
        select ${blob.id} from ${manifestReference} join ${blob} on ${blob.digest} = ${manifestReference.digest}
        where ${manifestReference.manifestId} = ${manifestId})`
      return db
        .update(repositoryBlob)
        .set({ unreferencedAt: null })
        .where(and(named, isNotNull(repositoryBlob.unreferencedAt)))
    },
  )
  const isHere = (repositoryId: number, reference: ManifestReference) => {
    const digest = digestToBytes(reference.digest)
    if (reference.role === 'child' && find(repositoryId, digest)?.deletedAt === null) return true
    return linked.get({ repositoryId, digest }) !== undefined
  }
  return {
    check(repositoryId: number, call: ManifestPut): void {
      const missing = call.manifest.references.filter(
        (reference) => !call.optionalRoles.includes(reference.role) && !isHere(repositoryId, reference),
      )
      if (missing.length === 0) return
      throw new RegistryError(
        missing.map(({ digest, role }) => ({
          code: 'MANIFEST_BLOB_UNKNOWN',
          message: `${role} ${digest} is not in ${call.repository}: push it before the manifest`,
          detail: { digest },
        })),
      )
    },
    insert(repositoryId: number, manifestId: number, references: ManifestReference[]): void {
      for (const { digest, role } of references)
        insert.run({ repositoryId, manifestId, digest: digestToBytes(digest), role })
    },

    /** The blobs that a manifest names are not garbage, as long as its row is there. */
    markUsed: (repositoryId: number, manifestId: number) => markUsed.run({ repositoryId, manifestId }),
  }
}
