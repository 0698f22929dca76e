import { and, eq, getTableColumns } from 'drizzle-orm'
import { digestToBytes } from '../../../oci/digest.ts'
import type { Db } from '../../database.ts'
import { insertForId, insertInto, insertNew, selectBy, updateBy } from '../../rows.ts'
import { manifest, manifestBytes, manifestDigest } from '../../schema/schema.ts'
import { bytes, number, statement } from '../../statement.ts'
import type { VersionOfCall } from '../../versions.ts'
import type { ManifestPut } from './manifest-put.ts'

export type FindManifest = ReturnType<typeof manifestFinder>

/** Finds manifests by the id of their repository and any of their digests, including deleted ones. */
export function manifestFinder(db: Db) {
  const byFirst = selectBy(db, manifest, 'repositoryId', 'digest')
  const byOther = statement(db, { repositoryId: number, digest: bytes }, ({ repositoryId, digest }) =>
    db
      .select(getTableColumns(manifest))
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
  const renew = updateBy(
    db,
    manifest,
    [
      'mediaType',
      'artifactType',
      'pushedAt',
      'deletedAt',
      'unreferencedAt',
      'untaggedAt',
      'usedAt',
      'version',
    ],
    'id',
  )
  const hide = updateBy(db, manifest, ['deletedAt', 'unreferencedAt', 'untaggedAt', 'version'], 'id')
  return {
    find,
    hide: (id: number, at: number) =>
      hide.run({ id, deletedAt: at, unreferencedAt: null, untaggedAt: null, version: version() }),

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
      renew.run({ ...state, id: found.id, pushedAt: call.at, deletedAt: null, version: version() })
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

function manifestInserts(db: Db, version: VersionOfCall) {
  const row = insertForId(db, manifest)
  const content = insertNew(db, manifestBytes)
  const other = insertInto(db, manifestDigest)
  const keepContent = (digest: Buffer, { bytes: { buffer, byteOffset, length } }: ManifestPut) =>
    content.run({ digest, bytes: Buffer.from(buffer, byteOffset, length) })
  return {
    manifest(repositoryId: number, digest: Buffer, call: ManifestPut): number {
      const { mediaType, artifactType, subject } = call.manifest
      keepContent(digest, call)
      const values = {
        repositoryId,
        digest,
        mediaType,
        artifactType,
        subject: subject && digestToBytes(subject),
        size: call.bytes.length,
        pushedAt: call.at,
        usedAt: call.usedAt,
        version: version(),
      }
      return row.get(values).id
    },
    content: keepContent,
    otherDigest: (repositoryId: number, digest: Buffer, manifestId: number) =>
      other.run({ repositoryId, digest, manifestId }),
  }
}
