import { type SQL, sql } from 'drizzle-orm'
import type { Db } from '../database/database.ts'
import { bytes, number, optional, statement, text } from '../database/statement.ts'
import { type Digest, digestFromBytes, digestToBytes, type RepositoryName } from '../oci/reference.ts'
import { type GarbageWindow, untaggedMs } from '../registry/store.ts'

declare module '../database/metadata.ts' {
  interface Reads {
    explain: ReturnType<typeof explanations>
  }
}

/** The maximum repositories that are explained, and names per reason. */
const REPOSITORIES_MAX = 100
const NAMES_MAX = 20
const NAMES = sql.raw(`limit ${NAMES_MAX}`)

/** Why content in a repository is kept, or when it is deleted. */
export interface Explanation {
  kind: 'manifest' | 'blob'
  repository: RepositoryName
  digest: Digest
  reasons: Reason[]
  /** When it will be deleted, in milliseconds since 1970; undefined if it is kept. */
  collectableAt: number | undefined
}

/**
 * `tag`, `index`, `subject` and `manifest` reference it; their `names` are tags or digests. If all tags expire, it is
 * kept for the undo window after the last one. `pushed` (or requested by a client that may push), `unreferenced`,
 * `untagged`, `deleted` and `repository-deleted` keep it until a time, or forever.
 */
export interface Reason {
  reason:
    | 'tag'
    | 'index'
    | 'subject'
    | 'manifest'
    | 'pushed'
    | 'unreferenced'
    | 'untagged'
    | 'deleted'
    | 'repository-deleted'
  /** At most 20. */
  names: string[]
  /** Milliseconds since 1970. */
  until: number | undefined
}

interface Row {
  id: number
  repositoryId: number
  repository: string
  repositoryDeletedAt: number | null
  deletedAt: number | null
  unreferencedAt: number | null
}

type ManifestRow = Row & { digest: Buffer; untaggedAt: number | null; untaggedDays: number | null }
type Named = { name: Buffer | string }

/** Explains why a digest is kept, in one repository or in each that has it. */
export function explanations(db: Db) {
  const manifests = manifestStatements(db)
  const blobs = blobStatements(db)
  const ofManifest = (row: ManifestRow, digest: Digest, garbageWindow: GarbageWindow): Explanation => {
    const { windowMs } = garbageWindow
    const end = manifests.endOfTags.get({ id: row.id })?.end ?? null
    const holders = [
      reached('tag', manifests.tags.all({ id: row.id }), end === null ? undefined : end + windowMs),
      reached('index', manifests.indexes.all({ id: row.id })),
      reached('subject', manifests.subjects.all({ id: row.id })),
    ].filter(({ names }) => names.length > 0)
    const keptMs = untaggedMs(garbageWindow, row.untaggedDays)
    return explain('manifest', row, digest, garbageWindow, [
      ...(row.deletedAt === null ? holders : []),
      ...since('deleted', row.deletedAt, windowMs),
      ...since('unreferenced', row.unreferencedAt, windowMs),
      ...since('untagged', row.untaggedAt, keptMs),
    ])
  }
  const ofBlob = (row: Row, digest: Digest, garbageWindow: GarbageWindow): Explanation => {
    const users = blobs.users.all({ digest: digestToBytes(digest), repositoryId: row.repositoryId })
    const named = reached('manifest', users)
    return explain('blob', row, digest, garbageWindow, [
      ...(named.names.length > 0 ? [named] : []),
      ...since('deleted', row.deletedAt, undefined),
      ...since('pushed', row.unreferencedAt, garbageWindow.graceMs),
    ])
  }
  return (
    digest: Digest,
    repository: RepositoryName | undefined,
    garbageWindow: GarbageWindow,
  ): Explanation[] => {
    const asked = { digest: digestToBytes(digest), repository: repository ?? null }
    return [
      ...manifests.rows.all(asked).map((row) => ofManifest(row, digest, garbageWindow)),
      ...blobs.rows.all(asked).map((row) => ofBlob(row, digest, garbageWindow)),
    ]
  }
}

function explain(
  kind: Explanation['kind'],
  row: Row,
  digest: Digest,
  { windowMs }: GarbageWindow,
  own: Reason[],
): Explanation {
  const hidden = since('repository-deleted', row.repositoryDeletedAt, windowMs)
  const stays = own.some(({ reason, until }) => until === undefined && reason !== 'deleted')
  const ends = [...hidden, ...(stays ? [] : own)].flatMap(({ until }) => until ?? [])
  return {
    kind,
    repository: row.repository as RepositoryName,
    digest,
    reasons: [...own, ...hidden],
    collectableAt: ends.length === 0 ? undefined : Math.min(...ends),
  }
}

function reached(reason: Reason['reason'], rows: Named[], until?: number): Reason {
  const names = rows.map(({ name }) => (typeof name === 'string' ? name : digestFromBytes(Buffer.from(name))))
  return { reason, names, until }
}

function since(reason: Reason['reason'], stamp: number | null, keptMs: number | undefined): Reason[] {
  if (stamp === null) return []
  return [{ reason, names: [], until: keptMs === undefined ? undefined : stamp + keptMs }]
}

const asked = { digest: bytes, repository: optional(text) }

function manifestStatements(db: Db) {
  const ofManifest = <R>(build: (id: SQL) => SQL<R>) =>
    statement(db, { id: number }, ({ id }) => build(sql`${id}`))
  const rows = (from: SQL, condition: SQL, repository: SQL) =>
    sql`select m.id, m.digest, m.repository_id as repositoryId, p.name as repository,
      p.deleted_at as repositoryDeletedAt, p.untagged_days as untaggedDays, m.deleted_at as deletedAt,
      m.unreferenced_at as unreferencedAt, m.untagged_at as untaggedAt
    from ${from} join repository p on p.id = m.repository_id
    where ${condition} and (${repository} is null or p.name = ${repository})`
  return {
    rows: statement(db, asked, ({ digest, repository }) => {
      const named = sql`${repository}`
      return sql<ManifestRow>`
        ${rows(sql`manifest m`, sql`m.digest = ${digest}`, named)} union all
        ${rows(sql`manifest_digest d join manifest m on m.id = d.manifest_id`, sql`d.digest = ${digest}`, named)}
        limit ${sql.raw(String(REPOSITORIES_MAX))}`
    }),
    tags: ofManifest<Named>((id) => sql`select name from tag where manifest_id = ${id} ${NAMES}`),
    endOfTags: ofManifest<{ end: number | null }>(
      (id) => sql`select iif(count(*) = count(expires_at), max(expires_at), null) as end
        from tag where manifest_id = ${id}`,
    ),
    indexes: ofManifest<Named>(
      (id) => sql`select p.digest as name from manifest c
         join manifest_reference r on r.digest = c.digest and r.repository_id = c.repository_id and r.role = 'child'
         join manifest p on p.id = r.manifest_id where c.id = ${id} and p.deleted_at is null
       union all select p.digest from manifest_digest d
         join manifest_reference r on r.digest = d.digest and r.repository_id = d.repository_id and r.role = 'child'
         join manifest p on p.id = r.manifest_id where d.manifest_id = ${id} and p.deleted_at is null ${NAMES}`,
    ),
    subjects: ofManifest<Named>(
      (id) => sql`select m.subject as name from manifest m where m.id = ${id} and m.subject is not null and (
         exists (select 1 from manifest s
           where s.digest = m.subject and s.repository_id = m.repository_id and s.deleted_at is null)
         or exists (select 1 from manifest_digest d join manifest s on s.id = d.manifest_id
           where d.repository_id = m.repository_id and d.digest = m.subject and s.deleted_at is null))`,
    ),
  }
}

function blobStatements(db: Db) {
  return {
    rows: statement(
      db,
      asked,
      ({ digest, repository }) =>
        sql<Row>`select b.id, l.repository_id as repositoryId, p.name as repository,
           p.deleted_at as repositoryDeletedAt, l.deleted_at as deletedAt, l.unreferenced_at as unreferencedAt
         from blob b join repository_blob l on l.blob_id = b.id join repository p on p.id = l.repository_id
         where b.digest = ${digest} and (${repository} is null or p.name = ${repository})
         limit ${sql.raw(String(REPOSITORIES_MAX))}`,
    ),
    users: statement(
      db,
      { digest: bytes, repositoryId: number },
      ({ digest, repositoryId }) =>
        sql<Named>`select m.digest as name from manifest_reference r join manifest m on m.id = r.manifest_id
         where r.digest = ${digest} and r.repository_id = ${repositoryId} ${NAMES}`,
    ),
  }
}
