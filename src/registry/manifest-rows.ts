import { and, eq, getTableColumns, isNotNull, sql } from 'drizzle-orm'
import type { Condition, Write } from '../access/access.ts'
import type { Db } from '../database/database.ts'
import type { VersionOfCall } from '../database/operation.ts'
import {
  blob,
  manifest,
  manifestBytes,
  manifestDigest,
  manifestReference,
  repositoryBlob,
} from '../database/schema.ts'
import {
  bytes,
  insertForId,
  insertInto,
  insertNew,
  number,
  selectBy,
  statement,
  text,
  updateBy,
} from '../database/statement.ts'
import { type Digest, digestToBytes } from '../oci/digest.ts'
import { RegistryError } from '../oci/error.ts'
import type { Manifest, ManifestReference } from '../oci/manifest.ts'
import type { RepositoryName, Tag } from '../oci/reference.ts'

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

/** How many missing references an error names. */
const MISSING_MAX = 100

export type ReferenceRows = ReturnType<typeof referenceRows>

/** The rows of a manifest's references. */
export function referenceRows(db: Db) {
  const { unready, lacking, insert, markUsed, use } = referenceStatements(db)
  /** Returns those of the positions whose reference is not a manifest of the repository either. */
  const notChildren = (repositoryId: number, references: ManifestReference[], positions: number[]) => {
    const children = positions.filter((at) => references[at]?.role === 'child')
    if (children.length === 0) return positions
    const digests = JSON.stringify(children.map((at) => hexOf(references[at] as ManifestReference)))
    const missing = new Set(lacking.all({ repositoryId, digests }).map(({ at }) => children[at]))
    return positions.filter((at) => references[at]?.role !== 'child' || missing.has(at))
  }
  return {
    /**
     * Returns the ids of the blobs that a manifest references and that count as unreferenced. Throws
     * MANIFEST_BLOB_UNKNOWN with one entry for each reference that the repository lacks, at most 100.
     */
    check(
      repositoryId: number,
      { manifest: { references }, optionalRoles, repository }: ManifestPut,
    ): number[] {
      const unused: number[] = []
      const unlinked: number[] = []
      const digests = JSON.stringify(references.map(hexOf))
      for (const { at, blobId, isLinked } of unready.all({ repositoryId, digests })) {
        if (blobId !== null) unused.push(blobId)
        const { role } = references[at] as ManifestReference
        if (isLinked === 0 && !optionalRoles.includes(role)) unlinked.push(at)
      }
      const missing = notChildren(repositoryId, references, unlinked)
      if (missing.length === 0) return unused
      throw new RegistryError(
        missing.slice(0, MISSING_MAX).map((at) => {
          const { digest, role } = references[at] as ManifestReference
          return {
            code: 'MANIFEST_BLOB_UNKNOWN',
            message: `${role} ${digest} is not in ${repository}: push it before the manifest`,
            detail: { digest },
          }
        }),
      )
    },

    insert(repositoryId: number, manifestId: number, references: ManifestReference[]): void {
      if (references.length === 0) return
      const named = JSON.stringify(references.map((reference) => `${reference.role}:${hexOf(reference)}`))
      insert.run({ repositoryId, manifestId, named })
    },

    /** Marks the blobs that a new manifest references as referenced, as long as its row exists. */
    use(repositoryId: number, blobIds: number[]): void {
      if (blobIds.length > 0) use.run({ repositoryId, blobIds: JSON.stringify(blobIds) })
    },

    /** Does the same for all recorded references of a manifest. */
    markUsed: (repositoryId: number, manifestId: number) => markUsed.run({ repositoryId, manifestId }),
  }
}

const hexOf = ({ digest }: ManifestReference): string => digest.slice(digest.indexOf(':') + 1)

/** Each statement handles all references of a manifest at once, which costs half as much as one at a time. */
function referenceStatements(db: Db) {
  // Finds the references that are not linked blobs, and the blobs that are marked as unreferenced (`blobId`).
  const unready = statement(
    db,
    { digests: text, repositoryId: number },
    ({ digests, repositoryId }) =>
      sql<{ at: number; blobId: number | null; isLinked: number }>`
      select n.key as at, iif(l.unreferenced_at is null, null, l.blob_id) as blobId,
        l.blob_id is not null and l.deleted_at is null as isLinked
      from json_each(${digests}) n
      left join blob b on b.digest = unhex(n.value)
      left join repository_blob l on l.blob_id = b.id and l.repository_id = ${repositoryId}
      where l.blob_id is null or l.deleted_at is not null or l.unreferenced_at is not null`,
  )
  const lacking = statement(
    db,
    { digests: text, repositoryId: number },
    ({ digests, repositoryId }) =>
      sql<{ at: number }>`
      select n.key as at from json_each(${digests}) n
      left join manifest m on m.digest = unhex(n.value) and m.repository_id = ${repositoryId}
      left join manifest_digest d on m.id is null and d.digest = unhex(n.value) and d.repository_id = ${repositoryId}
      left join manifest o on o.id = d.manifest_id
      where iif(m.id is null, o.id is null or o.deleted_at is not null, m.deleted_at is not null)`,
  )
  const insert = statement(
    db,
    { manifestId: number, named: text, repositoryId: number },
    ({ manifestId, named, repositoryId }) =>
      // In the order of the index, which reads and writes each of its pages once.
      sql`insert into ${manifestReference} (manifest_id, digest, role, repository_id)
        select ${manifestId}, unhex(substr(n.value, instr(n.value, ':') + 1)),
          substr(n.value, 1, instr(n.value, ':') - 1), ${repositoryId}
        from json_each(${named}) n order by 2, n.key
        on conflict do nothing`,
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
  const use = statement(db, { repositoryId: number, blobIds: text }, ({ repositoryId, blobIds }) =>
    db
      .update(repositoryBlob)
      .set({ unreferencedAt: null })
      .where(
        and(
          eq(repositoryBlob.repositoryId, repositoryId),
          sql`${repositoryBlob.blobId} in (select value from json_each(${blobIds}))`,
        ),
      ),
  )
  return { unready, lacking, insert, markUsed, use }
}

/** A push of a manifest. */
export interface ManifestPut extends Write {
  repository: RepositoryName
  /** The digest that the manifest is pushed with; for a push by tag, its sha256. */
  digest: Digest
  /** The manifest's sha256, which identifies it whatever digest it was pushed with. */
  sha256: Digest
  tags: Tag[]
  /** Seconds until the tags expire; undefined if they do not. */
  expiresAfterSeconds?: number | undefined
  manifest: Omit<Manifest, 'annotations'>
  bytes: Uint8Array<ArrayBuffer>
  /** The labels that a search finds: see `searchableLabels`. */
  labels?: readonly string[]
  /** References of these roles need not be in the repository. */
  optionalRoles: ManifestReference['role'][]
  /** The condition on the digest of each tag. */
  precondition?: Condition | undefined
  /** When cached content was used, in milliseconds since 1970; undefined for a push. */
  usedAt?: number | undefined
}
