import { and, eq, sql } from 'drizzle-orm'
import { digestToBytes } from '../oci/digest.ts'
import type { Db } from './database.ts'
import type { ManifestPut } from './manifest-writes.ts'
import { manifest, manifestBytes, manifestDigest } from './schema.ts'

/** The rows of manifests, by the id of their repository; those that are deleted too. */
export function manifestRows(db: Db) {
  const columns = { id: manifest.id, mediaType: manifest.mediaType, deletedAt: manifest.deletedAt }
  const byDigest = db
    .select(columns)
    .from(manifest)
    .where(
      and(
        eq(manifest.repositoryId, sql.placeholder('repositoryId')),
        eq(manifest.digest, sql.placeholder('digest')),
      ),
    )
    .prepare()
  const byOther = db
    .select(columns)
    .from(manifestDigest)
    .innerJoin(manifest, eq(manifest.id, manifestDigest.manifestId))
    .where(
      and(
        eq(manifestDigest.repositoryId, sql.placeholder('repositoryId')),
        eq(manifestDigest.digest, sql.placeholder('digest')),
      ),
    )
    .prepare()
  const insert = db
    .insert(manifest)
    .values({
      repositoryId: sql.placeholder('repositoryId'),
      digest: sql.placeholder('digest'),
      mediaType: sql.placeholder('mediaType'),
      artifactType: sql.placeholder('artifactType'),
      subject: sql.placeholder('subject'),
      size: sql.placeholder('size'),
      pushedAt: sql.placeholder('at'),
    })
    .returning({ id: manifest.id })
    .prepare()
  const insertBytes = db
    .insert(manifestBytes)
    .values({ digest: sql.placeholder('digest'), bytes: sql.placeholder('bytes') })
    .onConflictDoNothing()
    .prepare()
  const insertOther = db
    .insert(manifestDigest)
    .values({
      repositoryId: sql.placeholder('repositoryId'),
      digest: sql.placeholder('digest'),
      manifestId: sql.placeholder('manifestId'),
    })
    .onConflictDoNothing()
    .prepare()
  const renew = db
    .update(manifest)
    .set({
      mediaType: sql`${sql.placeholder('mediaType')}`,
      pushedAt: sql`${sql.placeholder('at')}`,
      deletedAt: null,
    })
    .where(eq(manifest.id, sql.placeholder('id')))
    .prepare()
  const hide = db
    .update(manifest)
    .set({ deletedAt: sql`${sql.placeholder('at')}` })
    .where(eq(manifest.id, sql.placeholder('id')))
    .prepare()
  const find = (repositoryId: number, digest: Buffer) =>
    byDigest.get({ repositoryId, digest }) ?? byOther.get({ repositoryId, digest })
  return {
    find,
    hide: (id: number, at: number) => hide.run({ id, at }),

    put(repositoryId: number, call: ManifestPut): { id: number; inserted: boolean; replaced: boolean } {
      const digest = digestToBytes(call.digest)
      const sha256 = digestToBytes(call.sha256)
      const { mediaType, artifactType = null, subject } = call.manifest
      const found = find(repositoryId, digest) ?? find(repositoryId, sha256)
      if (found === undefined) {
        insertBytes.run({ digest, bytes: Buffer.from(call.bytes) })
        const { id } = insert.get({
          repositoryId,
          digest,
          mediaType,
          artifactType,
          subject: subject === undefined ? null : digestToBytes(subject),
          size: call.bytes.length,
          at: call.at,
        })
        if (call.digest !== call.sha256) insertOther.run({ repositoryId, digest: sha256, manifestId: id })
        return { id, inserted: true, replaced: false }
      }
      if (byDigest.get({ repositoryId, digest }) === undefined) {
        insertOther.run({ repositoryId, digest, manifestId: found.id })
      }
      renew.run({ id: found.id, mediaType, at: call.at })
      return { id: found.id, inserted: false, replaced: found.mediaType !== mediaType }
    },
  }
}
