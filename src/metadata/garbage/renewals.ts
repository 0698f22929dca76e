import { eq, isNull, sql } from 'drizzle-orm'
import { type Digest, digestToBytes } from '../../oci/digest.ts'
import type { RepositoryName } from '../../oci/reference.ts'
import type { Db } from '../database.ts'
import { manifest } from '../schema.ts'

/** Writes that keep what a push in progress may name from the collector. */
export function renewalWrites(db: Db) {
  const renewBlob = db.$client.query<{ blob_id: number }, [number, Buffer, string]>(
    `update repository_blob set unreferenced_at = iif(unreferenced_at is null, null, max(unreferenced_at, ?))
     where blob_id = (select id from blob where digest = ?)
       and repository_id = (select id from repository where name = ? and deleted_at is null)
       and deleted_at is null
     returning blob_id`,
  )
  const since = sql.placeholder('since')
  const renewManifest = db
    .update(manifest)
    .set({
      unreferencedAt: sql`iif(unreferenced_at is null, null, max(unreferenced_at, ${since}))`,
      untaggedAt: sql`iif(untagged_at is null, null, max(untagged_at, ${since}))`,
    })
    .where(sql`${eq(manifest.id, sql.placeholder('id'))} and ${isNull(manifest.deletedAt)}`)
    .returning({ id: manifest.id })
    .prepare()
  return {
    /** A blob that no manifest names is unreferenced since `at` only. Answers whether the repository still holds it. */
    renewBlob: (call: { at: number; repository: RepositoryName; digest: Digest }): boolean =>
      renewBlob.get(call.at, digestToBytes(call.digest), call.repository) !== null,

    /** A manifest that nothing reaches is so since `since` only. Answers whether it is still there. */
    renewManifest: (call: { id: number; since: number }): boolean => renewManifest.get(call) !== undefined,
  }
}
