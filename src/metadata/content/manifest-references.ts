import { and, eq, isNotNull, sql } from 'drizzle-orm'
import { digestToBytes } from '../../oci/digest.ts'
import { RegistryError } from '../../oci/error.ts'
import type { ManifestReference } from '../../oci/manifest.ts'
import type { Db } from '../database.ts'
import { blob, manifestReference, repositoryBlob } from '../schema.ts'
import { bytes, number, statement, text } from '../statement.ts'
import type { ManifestPut } from './manifest-put.ts'
import type { FindManifest } from './manifest-rows.ts'

/** How many missing references an error names. */
const MISSING_MAX = 100

export type ReferenceRows = ReturnType<typeof referenceRows>

/** The rows of a manifest's references. */
export function referenceRows(db: Db, find: FindManifest) {
  const { linked, insert, markUsed, use } = referenceStatements(db)
  const hasManifest = (repositoryId: number, digest: Buffer) => find(repositoryId, digest)?.deletedAt === null
  return {
    /**
     * Returns the ids of the blobs that a manifest references and that count as unreferenced. Throws
     * MANIFEST_BLOB_UNKNOWN with one entry for each reference that the repository lacks, at most 100.
     */
    check(repositoryId: number, call: ManifestPut): number[] {
      const unused: number[] = []
      const missing: ManifestReference[] = []
      for (const reference of call.manifest.references) {
        if (missing.length === MISSING_MAX) break
        const digest = digestToBytes(reference.digest)
        const link = linked.get({ repositoryId, digest })
        if (link !== undefined && link.unreferencedAt !== null) unused.push(link.blobId)
        if (link?.deletedAt === null || call.optionalRoles.includes(reference.role)) continue
        if (reference.role !== 'child' || !hasManifest(repositoryId, digest)) missing.push(reference)
      }
      if (missing.length === 0) return unused
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

    /** Marks the blobs that a new manifest references as referenced, as long as its row exists. */
    use: (repositoryId: number, blobIds: number[]) => {
      for (const blobId of blobIds) use.run({ repositoryId, blobId })
    },

    /** Does the same for all recorded references of a manifest. */
    markUsed: (repositoryId: number, manifestId: number) => markUsed.run({ repositoryId, manifestId }),
  }
}

function referenceStatements(db: Db) {
  const linked = statement(db, { digest: bytes, repositoryId: number }, ({ digest, repositoryId }) =>
    db
      .select({
        blobId: blob.id,
        unreferencedAt: repositoryBlob.unreferencedAt,
        deletedAt: repositoryBlob.deletedAt,
      })
      .from(blob)
      .innerJoin(repositoryBlob, eq(repositoryBlob.blobId, blob.id))
      .where(and(eq(blob.digest, digest), eq(repositoryBlob.repositoryId, repositoryId))),
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
  const use = statement(db, { repositoryId: number, blobId: number }, ({ repositoryId, blobId }) =>
    db
      .update(repositoryBlob)
      .set({ unreferencedAt: null })
      .where(and(eq(repositoryBlob.repositoryId, repositoryId), eq(repositoryBlob.blobId, blobId))),
  )
  return { linked, insert, markUsed, use }
}
