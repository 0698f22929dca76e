import { and, eq, sql } from 'drizzle-orm'
import { digestToBytes } from '../../../oci/digest.ts'
import type { Db } from '../../database.ts'
import { manifest, manifestBytes, manifestDigest } from '../../schema/schema.ts'
import { bytes, number, optional, statement, text } from '../../statement.ts'
import type { VersionOfCall } from '../../versions.ts'
import type { ManifestPut } from './manifest-put.ts'

export type FindManifest = ReturnType<typeof manifestFinder>

/** Finds manifests by the id of their repository and any of their digests, including deleted ones. */
export function manifestFinder(db: Db) {
  const columns = {
    id: manifest.id,
    digest: manifest.digest,
    mediaType: manifest.mediaType,
    deletedAt: manifest.deletedAt,
    unreferencedAt: manifest.unreferencedAt,
    untaggedAt: manifest.untaggedAt,
    usedAt: manifest.usedAt,
    version: manifest.version,
  }
  const parameters = { repositoryId: number, digest: bytes }
  const byFirst = statement(db, parameters, ({ repositoryId, digest }) =>
    db
      .select(columns)
      .from(manifest)
      .where(and(eq(manifest.repositoryId, repositoryId), eq(manifest.digest, digest))),
  )
  const byOther = statement(db, parameters, ({ repositoryId, digest }) =>
    db
      .select(columns)
      .from(manifestDigest)
      .innerJoin(manifest, eq(manifest.id, manifestDigest.manifestId))
      .where(and(eq(manifestDigest.repositoryId, repositoryId), eq(manifestDigest.digest, digest))),
  )
  return (repositoryId: number, digest: Buffer) =>
    byFirst.get({ repositoryId, digest }) ?? byOther.get({ repositoryId, digest })
}

export type ManifestRows = ReturnType<typeof manifestRows>

/** The rows of manifests. */
export function manifestRows(db: Db, { find, version }: { find: FindManifest; version: VersionOfCall }) {
  const insert = manifestInserts(db, version)
  const renew = renewal(db)
  const hide = statement(db, { id: number, at: number, version: number }, ({ id, at, version }) =>
    db
      .update(manifest)
      .set({ deletedAt: sql`${at}`, unreferencedAt: null, untaggedAt: null, version: sql`${version}` })
      .where(eq(manifest.id, id)),
  )
  return {
    find,
    hide: (id: number, at: number) => hide.run({ id, at, version: version() }),

    /**
     * Creates the row or restores the existing one, and adds the digest if it is new. If it is garbage, its time as
     * garbage starts anew, or ends if it gets a tag.
     */
    put(repositoryId: number, call: ManifestPut): StoredRow {
      const digest = digestToBytes(call.digest)
      const sha256 = digestToBytes(call.sha256)
      const known = find(repositoryId, digest)
      const found = known ?? (call.digest === call.sha256 ? undefined : find(repositoryId, sha256))
      if (found === undefined) {
        const id = insert.manifest(repositoryId, digest, call)
        if (call.digest !== call.sha256) insert.otherDigest(repositoryId, sha256, id)
        return { id, inserted: true, appeared: true, replaced: false }
      }
      // The push restores damaged bytes.
      insert.content(found.digest, call)
      if (known === undefined) insert.otherDigest(repositoryId, digest, found.id)
      const { mediaType, artifactType = null } = call.manifest
      const isTagged = call.tags.length > 0
      const since = (before: number | null) => (before === null || isTagged ? null : call.at)
      const unreferencedAt = since(found.unreferencedAt)
      const untaggedAt = since(found.untaggedAt)
      // Pushed content does not become cached, and a push makes cached content pushed.
      const wasPushed = found.deletedAt === null && found.usedAt === null
      const usedAt = wasPushed ? null : (call.usedAt ?? null)
      const state = { mediaType, artifactType, unreferencedAt, untaggedAt, usedAt }
      renew.run({ ...state, id: found.id, at: call.at, version: version() })
      const appeared = found.deletedAt !== null || (found.usedAt !== null && usedAt === null)
      return { id: found.id, inserted: false, appeared, replaced: found.mediaType !== mediaType }
    },
  }
}

export interface StoredRow {
  id: number
  /** Whether the row is new. */
  inserted: boolean
  /** Whether the manifest was absent, deleted or only cached before. */
  appeared: boolean
  /** Whether cached data about it is stale. */
  replaced: boolean
}

function renewal(db: Db) {
  return statement(
    db,
    {
      id: number,
      mediaType: text,
      artifactType: optional(text),
      at: number,
      unreferencedAt: optional(number),
      untaggedAt: optional(number),
      usedAt: optional(number),
      version: number,
    },
    ({ id, mediaType, artifactType, at, unreferencedAt, untaggedAt, usedAt, version }) =>
      db
        .update(manifest)
        .set({
          mediaType: sql`${mediaType}`,
          artifactType: sql`${artifactType}`,
          pushedAt: sql`${at}`,
          deletedAt: null,
          unreferencedAt: sql`${unreferencedAt}`,
          untaggedAt: sql`${untaggedAt}`,
          usedAt: sql`${usedAt}`,
          version: sql`${version}`,
        })
        .where(eq(manifest.id, id)),
  )
}

function manifestInserts(db: Db, version: VersionOfCall) {
  const row = statement(
    db,
    {
      repositoryId: number,
      digest: bytes,
      mediaType: text,
      artifactType: optional(text),
      subject: optional(bytes),
      size: number,
      pushedAt: number,
      usedAt: optional(number),
      version: number,
    },
    (values) => db.insert(manifest).values(values).returning({ id: manifest.id }),
  )
  const content = statement(db, { digest: bytes, bytes }, (values) =>
    db.insert(manifestBytes).values(values).onConflictDoNothing(),
  )
  const other = statement(db, { repositoryId: number, digest: bytes, manifestId: number }, (values) =>
    db.insert(manifestDigest).values(values),
  )
  const keepContent = (digest: Buffer, { bytes: { buffer, byteOffset, length } }: ManifestPut) =>
    content.run({ digest, bytes: Buffer.from(buffer, byteOffset, length) })
  return {
    manifest(repositoryId: number, digest: Buffer, call: ManifestPut): number {
      const { mediaType, artifactType = null, subject } = call.manifest
      keepContent(digest, call)
      const size = call.bytes.length
      const named = subject === undefined ? null : digestToBytes(subject)
      const values = {
        repositoryId,
        digest,
        mediaType,
        artifactType,
        subject: named,
        size,
        pushedAt: call.at,
      }
      return row.get({ ...values, usedAt: call.usedAt ?? null, version: version() }).id
    },
    content: keepContent,
    otherDigest: (repositoryId: number, digest: Buffer, manifestId: number) =>
      other.run({ repositoryId, digest, manifestId }),
  }
}
