import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type { CollectedRegistry } from './collected-registry.ts'

interface ManifestRow {
  id: number
  repository: number
  digest: string
  subject: string | null
  deleted: number | null
  unreferenced: number | null
  untagged: number | null
}

/** Returns the inconsistencies between the rows and files of an idle registry. */
export function faultsOf({ db, data }: CollectedRegistry): string[] {
  const manifests = db
    .query(
      `select id, repository_id as repository, hex(digest) as digest, hex(subject) as subject, deleted_at as deleted,
         unreferenced_at as unreferenced, untagged_at as untagged from manifest`,
    )
    .all() as ManifestRow[]
  const live = manifests.filter(({ deleted }) => deleted === null)
  const tagged = new Set(
    (db.query('select manifest_id as id from tag').all() as { id: number }[]).map(({ id }) => id),
  )
  const references = db
    .query(
      'select manifest_id as id, repository_id as repository, hex(digest) as digest, role from manifest_reference',
    )
    .all() as { id: number; repository: number; digest: string; role: string }[]
  const liveIds = new Set(live.map(({ id }) => id))
  const name = ({ repository, digest }: { repository: number; digest: string }) => `${repository}@${digest}`
  const listed = new Set(references.filter(({ id, role }) => role === 'child' && liveIds.has(id)).map(name))
  const liveNames = new Set(live.map(name))
  const isReached = (row: ManifestRow) =>
    tagged.has(row.id) ||
    listed.has(name(row)) ||
    (row.subject !== '' && liveNames.has(`${row.repository}@${row.subject}`))
  const faults: string[] = []
  for (const row of manifests) {
    const marks = [row.unreferenced, row.untagged].filter((mark) => mark !== null).length
    const expected = row.deleted !== null || isReached(row) ? 0 : 1
    if (marks !== expected) faults.push(`manifest ${row.id} has ${marks} marks, not ${expected}`)
  }
  return [...faults, ...blobFaults({ db, data }, references), ...sumFaults({ db })]
}

function blobFaults(
  { db, data }: Pick<CollectedRegistry, 'db' | 'data'>,
  references: { id: number; repository: number; digest: string; role: string }[],
): string[] {
  const links = db
    .query(
      `select l.repository_id as repository, hex(b.digest) as digest, l.unreferenced_at as mark from repository_blob l
       join blob b on b.id = l.blob_id`,
    )
    .all() as { repository: number; digest: string; mark: number | null }[]
  const faults: string[] = []
  const named = new Set(references.map(({ repository, digest }) => `${repository}@${digest}`))
  const linked = new Set(links.map(({ repository, digest }) => `${repository}@${digest}`))
  for (const { repository, digest, mark } of links) {
    if ((mark === null) !== named.has(`${repository}@${digest}`))
      faults.push(`link ${repository}@${digest}: ${mark}`)
  }
  for (const { id, repository, digest, role } of references) {
    if (role !== 'child' && !linked.has(`${repository}@${digest}`))
      faults.push(`manifest ${id} lacks ${digest}`)
  }
  const blobs = db.query('select hex(digest) as digest, size from blob').all() as {
    digest: string
    size: number
  }[]
  const rows = new Map(blobs.map(({ digest, size }) => [digest.toLowerCase(), size]))
  const files = filesOf(join(data, 'blobs', 'sha256'))
  const small = db
    .query(
      'select lower(hex(b.digest)) as digest, length(y.bytes) as size from blob_bytes y join blob b on b.id = y.blob_id',
    )
    .all() as { digest: string; size: number }[]
  const stored = new Map([...files, ...small.map(({ digest, size }) => [digest, size] as const)])
  for (const [digest, size] of rows)
    if (stored.get(digest) !== size) faults.push(`blob ${digest} has no bytes`)
  for (const digest of files.keys()) if (!rows.has(digest)) faults.push(`nothing names the bytes ${digest}`)
  const count = (sql: string) => (db.query(sql).get() as { n: number | null }).n ?? 0
  for (const [total, sql] of [
    ['blob.count', 'select count(*) as n from blob'],
    ['blob.bytes', 'select sum(size) as n from blob'],
  ] as const) {
    const kept = count(`select value as n from total where name = '${total}'`)
    if (kept !== count(sql)) faults.push(`${total} is ${kept}, not ${count(sql)}`)
  }
  if (db.query('pragma foreign_key_check').all().length > 0) faults.push('a foreign key names nothing')
  const bytesOnly =
    'select count(*) as n from manifest_bytes where digest not in (select digest from manifest)'
  if (count(bytesOnly) > 0) faults.push('bytes of a manifest without a row')
  return faults
}

/** Returns the repositories whose totals differ from the sums over their links. */
function sumFaults({ db }: Pick<CollectedRegistry, 'db'>): string[] {
  const wrong = db
    .query(
      `select p.id, p.blob_count, p.blob_bytes, p.own_bytes from repository p
       where (p.blob_count, p.blob_bytes, p.own_bytes) is not (
         select count(*), coalesce(sum(b.size), 0), coalesce(sum(iif(
           (select count(*) from repository_blob o where o.blob_id = l.blob_id) = 1, b.size, 0)), 0)
         from repository_blob l join blob b on b.id = l.blob_id where l.repository_id = p.id)`,
    )
    .all()
  return wrong.map((row) => `sums of a repository: ${JSON.stringify(row)}`)
}

function filesOf(folder: string): Map<string, number> {
  const files = new Map<string, number>()
  for (const prefix of readdirSync(folder)) {
    for (const hex of readdirSync(join(folder, prefix)))
      files.set(hex, statSync(join(folder, prefix, hex)).size)
  }
  return files
}
