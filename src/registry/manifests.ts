import {
  and,
  eq,
  getTableColumns,
  isNotNull,
  isNull,
  ne,
  or,
  type Placeholder,
  type SQL,
  sql,
} from 'drizzle-orm'
import type { Condition, Write } from '../access/access.ts'
import type { Db } from '../database/database.ts'
import type { VersionOfCall } from '../database/operation.ts'
import {
  blob,
  manifest,
  manifestBytes,
  manifestDigest,
  manifestLabel,
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
import { RegistryError } from '../oci/error.ts'
import type { Manifest, ManifestReference } from '../oci/manifest.ts'
import { type Digest, digestToBytes, type RepositoryName, type Tag } from '../oci/reference.ts'

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

/** The labels of manifests that a search finds. They are deleted with the row of the manifest. */
export function labelRows(db: Db) {
  const insert = statement(
    db,
    { repositoryId: number, id: number, labels: text },
    ({ repositoryId, id, labels }) =>
      sql`insert or ignore into ${manifestLabel} (repository_id, label, manifest_id)
        select ${repositoryId}, value, ${id} from json_each(${labels})`,
  )
  return {
    /** Adds labels to a manifest. Without any, which is common, it runs no statement. */
    put(repositoryId: number, id: number, labels: readonly string[] = []): void {
      if (labels.length > 0) insert.run({ repositoryId, id, labels: JSON.stringify(labels) })
    },
  }
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

/**
 * A condition on rows of `manifest`: it is referenced by a tag, by an index in its repository that is not deleted, or
 * because its subject exists there.
 */
export const isReached: SQL = sql`(
  exists (select 1 from tag t where t.manifest_id = manifest.id)
  or exists (select 1 from manifest_reference r join manifest p on p.id = r.manifest_id
    where r.digest = manifest.digest and r.repository_id = manifest.repository_id
    and r.role = 'child' and p.deleted_at is null)
  or exists (select 1 from manifest_digest d join manifest_reference r
      on r.digest = d.digest and r.repository_id = d.repository_id
    join manifest p on p.id = r.manifest_id
    where d.manifest_id = manifest.id and r.role = 'child' and p.deleted_at is null)
  or (manifest.subject is not null and (
    exists (select 1 from manifest s
      where s.digest = manifest.subject and s.repository_id = manifest.repository_id and s.deleted_at is null)
    or exists (select 1 from manifest_digest d join manifest s on s.id = d.manifest_id
      where d.digest = manifest.subject and d.repository_id = manifest.repository_id and s.deleted_at is null))))`

/** Selects the ids of what a manifest can keep: the entries of an index, and its referrers, by any of its digests. */
const reachable = (id: Placeholder): SQL => sql`(
  select c.id from manifest_reference r join manifest c on c.digest = r.digest and c.repository_id = r.repository_id
    where r.manifest_id = ${id} and r.role = 'child'
  union all select d.manifest_id from manifest_reference r
    join manifest_digest d on d.repository_id = r.repository_id and d.digest = r.digest
    where r.manifest_id = ${id} and r.role = 'child'
  union all select f.id from manifest m join manifest f on f.repository_id = m.repository_id and f.subject = m.digest
    where m.id = ${id}
  union all select f.id from manifest_digest d
    join manifest f on f.repository_id = d.repository_id and f.subject = d.digest
    where d.manifest_id = ${id})`

export type Reachability = ReturnType<typeof reachability>

const isMarked = sql`(manifest.unreferenced_at is not null or manifest.untagged_at is not null)`

// Cached manifests are evicted, never collected.
const becomesGarbage = and(
  isNull(manifest.deletedAt),
  isNull(manifest.usedAt),
  sql`not ${isMarked}`,
  sql`not ${isReached}`,
)

const found = { id: number, version: number }
const left = { ...found, at: number }

/**
 * Records when each manifest became garbage, in the transaction of the change. A manifest that is not deleted has
 * neither `unreferencedAt` nor `untaggedAt` while something references it, and otherwise one of them. A deleted one
 * has neither.
 */
export function reachability(db: Db, version: VersionOfCall) {
  const unmark = (version: Placeholder, condition: SQL | undefined) =>
    db
      .update(manifest)
      .set({ unreferencedAt: null, untaggedAt: null, version: sql`${version}` })
      .where(condition)
  // A push has just written the row, which need not be written twice.
  const reached = statement(db, found, ({ id, version }) =>
    unmark(version, and(eq(manifest.id, id), or(isMarked, ne(manifest.version, version)))),
  )
  const appeared = statement(db, found, ({ id, version }) =>
    unmark(version, and(sql`manifest.id in ${reachable(id)}`, isMarked)),
  )
  const subjectCame = statement(
    db,
    { repositoryId: number, digest: bytes, version: number },
    ({ repositoryId, digest, version }) =>
      unmark(version, and(eq(manifest.repositoryId, repositoryId), eq(manifest.subject, digest), isMarked)),
  )
  const leave = (version: Placeholder, since: SQL) =>
    db.update(manifest).set({
      version: sql`${version}`,
      leftAt: since,
      unreferencedAt: sql`iif(${becomesGarbage}, max(${since}, manifest.pushed_at), manifest.unreferenced_at)`,
    })
  const lost = statement(db, left, ({ id, at, version }) =>
    leave(version, sql`${at}`).where(eq(manifest.id, id)),
  )
  const vanished = statement(db, left, ({ id, at, version }) =>
    leave(version, sql`max(${at}, coalesce(manifest.left_at, 0))`).where(
      sql`manifest.id in ${reachable(id)}`,
    ),
  )
  const untagged = statement(db, left, ({ id, at, version }) =>
    db
      .update(manifest)
      .set({ untaggedAt: sql`${at}`, version: sql`${version}` })
      .where(and(eq(manifest.id, id), becomesGarbage)),
  )
  return {
    /** A tag points at the manifest from now on. */
    reached: (manifestId: number) => reached.run({ id: manifestId, version: version() }),

    /**
     * A tag was removed from the manifest, or the manifest was restored: it is garbage since `at`, unless something
     * references it.
     */
    lost: (manifestId: number, at: number) => lost.run({ id: manifestId, at, version: version() }),

    /** The manifest was pushed by digest: it is untagged since `at`, unless something references it. */
    untagged: (manifestId: number, at: number) => untagged.run({ id: manifestId, at, version: version() }),

    /** A manifest with these digests, which lists nothing, was added: its referrers are referenced. */
    subjectCame: (repositoryId: number, digests: Buffer[]): void => {
      for (const digest of digests) subjectCame.run({ repositoryId, digest, version: version() })
    },

    /** The manifest was pushed or restored: what it lists, and its referrers, are referenced. */
    appeared: (manifestId: number) => appeared.run({ id: manifestId, version: version() }),

    /**
     * The manifest was deleted: what only it referenced is garbage since `at`, or since its own push or the loss of
     * another reference, if that is later.
     */
    vanished: (manifestId: number, at: number) => vanished.run({ id: manifestId, at, version: version() }),
  }
}
