import { and, eq, isNull, sql } from 'drizzle-orm'
import { type Digest, digestToBytes } from '../../oci/digest.ts'
import type { RepositoryName } from '../../oci/reference.ts'
import type { Db } from '../database.ts'
import { manifest } from '../schema/schema.ts'
import { bytes, number, statement, text } from '../statement.ts'

/** Writes that protect content that a push in progress may reference from garbage collection. */
export function renewalWrites(db: Db) {
  const renewBlob = statement(
    db,
    { at: number, digest: bytes, repository: text },
    ({ at, digest, repository }) =>
      sql<{ blob_id: number }>`update repository_blob
        set unreferenced_at = iif(unreferenced_at is null, null, max(unreferenced_at, ${at}))
        where blob_id = (select id from blob where digest = ${digest})
          and repository_id = (select id from repository where name = ${repository} and deleted_at is null)
          and deleted_at is null
        returning blob_id`,
  )
  const renewManifest = statement(db, { id: number, since: number }, ({ id, since }) =>
    db
      .update(manifest)
      .set({
        unreferencedAt: sql`iif(unreferenced_at is null, null, max(unreferenced_at, ${since}))`,
        untaggedAt: sql`iif(untagged_at is null, null, max(untagged_at, ${since}))`,
      })
      .where(and(eq(manifest.id, id), isNull(manifest.deletedAt)))
      .returning({ id: manifest.id }),
  )
  return {
    /** Dates an unreferenced blob to `at`. Returns whether the repository still has it. */
    renewBlob: (call: { at: number; repository: RepositoryName; digest: Digest }): boolean =>
      renewBlob.get({ ...call, digest: digestToBytes(call.digest) }) !== undefined,

    /** Dates an unreferenced manifest to `since`. Returns whether it still exists. */
    renewManifest: (call: { id: number; since: number }): boolean => renewManifest.get(call) !== undefined,
  }
}
