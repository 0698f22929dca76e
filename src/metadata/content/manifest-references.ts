import { and, eq, isNotNull, isNull, sql } from 'drizzle-orm'
import { digestToBytes } from '../../oci/digest.ts'
import { RegistryError } from '../../oci/error.ts'
import type { ManifestReference } from '../../oci/manifest.ts'
import type { Db } from '../database.ts'
import { blob, manifestReference, repositoryBlob } from '../schema.ts'
import type { ManifestPut } from './manifest-put.ts'
import { manifestFinder } from './manifest-rows.ts'

/** The rows that say what a manifest names. */
export function referenceRows(db: Db) {
  const linked = db
    .select({ id: blob.id })
    .from(blob)
    .innerJoin(repositoryBlob, eq(repositoryBlob.blobId, blob.id))
    .where(
      and(
        eq(blob.digest, sql.placeholder('digest')),
        eq(repositoryBlob.repositoryId, sql.placeholder('repositoryId')),
        isNull(repositoryBlob.deletedAt),
      ),
    )
    .prepare()
  const insert = db
    .insert(manifestReference)
    .values({
      manifestId: sql.placeholder('manifestId'),
      digest: sql.placeholder('digest'),
      role: sql.placeholder('role'),
      repositoryId: sql.placeholder('repositoryId'),
    })
    .onConflictDoNothing()
    .prepare()
  const named = sql`${repositoryBlob.repositoryId} = ${sql.placeholder('repositoryId')} and ${repositoryBlob.blobId} in (
    select ${blob.id} from ${manifestReference} join ${blob} on ${blob.digest} = ${manifestReference.digest}
    where ${manifestReference.manifestId} = ${sql.placeholder('manifestId')})`
  const markUsed = db
    .update(repositoryBlob)
    .set({ unreferencedAt: null })
    .where(and(named, isNotNull(repositoryBlob.unreferencedAt)))
    .prepare()
  const find = manifestFinder(db)
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
