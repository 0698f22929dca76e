import { Database } from 'bun:sqlite'
import { existsSync } from 'node:fs'
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { databaseDamage, openForWriting, tryLock } from '../database/database.ts'
import { appliedMigrations } from '../database/migrate.ts'
import { migrations } from '../database/migrations.ts'
import {
  type Digest,
  digestFromBytes,
  digestFromHex,
  digestToBytes,
  tryParseAlgorithm,
  tryParseDigest,
} from '../oci/reference.ts'
import { blobPlace, blobsFolder } from '../storage/blob-store.ts'

/** How many blobs are looked up together. */
const BATCH = 100

/** How many digests a report names. */
const NAMED_MAX = 20

/** What a check of a data folder found. */
export interface FsckReport {
  /** What SQLite finds wrong with the database's file. If there is anything, nothing else was checked. */
  damage: string[]
  inconsistencies: Inconsistency[]
  /** Whether those that can be repaired were. */
  isRepaired: boolean
  blobs: number
  /** Blobs without a file, or with a file of the wrong size: at most NAMED_MAX, and how many there are. */
  missing: Digest[]
  missingCount: number
  /** Blobs in quarantine. */
  quarantined: number
  /** Files that no row references. The scan of a running server removes old ones. */
  orphans: number
}

/**
 * Compares a data folder's database with itself and with the files, in both directions.
 *
 * @param metadata the folder of the database
 * @param repair whether to repair what can be repaired without losing content. No server may use the folder then.
 * @throws Error when there is no database, or a repair is asked for while a server runs
 */
export async function fsck({
  data,
  metadata,
  repair,
}: {
  data: string
  metadata: string
  repair: boolean
}): Promise<FsckReport> {
  const path = join(metadata, 'cay.db')
  if (!existsSync(path)) throw new Error(`${metadata} has no database of cay`)
  const unlock = repair ? tryLock(join(metadata, 'lock')) : () => {}
  if (unlock === undefined) throw new Error(`a server uses ${metadata}: stop it before you repair the folder`)
  try {
    using database = openChecked(path, repair)
    const report: FsckReport = {
      damage: database.damage(),
      inconsistencies: [],
      isRepaired: false,
      blobs: 0,
      missing: [],
      missingCount: 0,
      quarantined: 0,
      orphans: 0,
    }
    if (report.damage.length > 0) return report
    report.inconsistencies = database.inconsistencies()
    if (repair && report.inconsistencies.some(({ isRepairable }) => isRepairable)) {
      database.repair()
      report.isRepaired = true
    }
    await checkRows(data, database, report)
    await checkFiles(data, database, report)
    return report
  } finally {
    unlock()
  }
}

type Checked = ReturnType<typeof openChecked>

async function checkRows(data: string, database: Checked, report: FsckReport): Promise<void> {
  for (let after = 0; ; ) {
    const batch = database.blobs(after, BATCH)
    for (const { digest, size, bytesHere, isQuarantined } of batch) {
      report.blobs++
      const found = bytesHere ?? (await sizeOf(blobPlace(data, digest).file))
      // A running server may have collected it since the row was read.
      if (found === size || !database.hasBlob(digest)) continue
      if (isQuarantined) {
        report.quarantined++
        continue
      }
      if (report.missing.length < NAMED_MAX) report.missing.push(digest)
      report.missingCount++
    }
    const last = batch.at(-1)
    if (last === undefined) return
    after = last.id
  }
}

async function checkFiles(data: string, database: Checked, report: FsckReport): Promise<void> {
  const root = blobsFolder(data)
  if (!existsSync(root)) return
  for (const name of await readdir(root)) {
    const algorithm = tryParseAlgorithm(name)
    if (algorithm === undefined) continue
    for (const prefix of await readdir(join(root, name))) {
      for (const hex of await readdir(join(root, name, prefix))) {
        const digest = tryParseDigest(digestFromHex(algorithm, hex))
        if (digest === undefined || !database.hasBlob(digest)) report.orphans++
      }
    }
  }
}

async function sizeOf(file: string): Promise<number | undefined> {
  try {
    return (await stat(file)).size
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

/** How many example rows a finding lists. */
const EXAMPLES_MAX = 5

/** An inconsistency in the database. */
interface Inconsistency {
  /** What is wrong, as a sentence without a full stop. */
  what: string
  count: number
  /** Examples of the rows. */
  examples: string[]
  /** Whether it can be repaired from the rest of the database, without losing content. */
  isRepairable: boolean
}

interface Check {
  what: string
  /** Statements that create the temporary tables of `find`, and that drop them. */
  prepare?: string[]
  discard?: string[]
  /** Selects one column, `example`, of each row that is wrong. */
  find: string
  /** Statements that repair it. */
  repair?: string[]
}

const REACHED = `(exists (select 1 from tag t where t.manifest_id = m.id)
  or exists (select 1 from manifest_reference r join manifest i on i.id = r.manifest_id and i.deleted_at is null
    where r.digest = m.digest and r.repository_id = m.repository_id and r.role = 'child')
  or exists (select 1 from manifest s where s.repository_id = m.repository_id and s.digest = m.subject
    and s.deleted_at is null))`

const SUMS = `(select count(*), coalesce(sum(b.size), 0), coalesce(sum(iif(
    (select count(*) from repository_blob o where o.blob_id = l.blob_id) = 1, b.size, 0)), 0)
  from repository_blob l join blob b on b.id = l.blob_id where l.repository_id = repository.id)`

const COUNTS = `((select count(*) from tag t where t.repository_id = repository.id),
  (select count(*) from manifest m where m.repository_id = repository.id and m.deleted_at is null),
  (select coalesce(sum(m.size), 0) from manifest m where m.repository_id = repository.id and m.deleted_at is null))`

const TOTALS: Record<string, string> = {
  'blob.count': 'select count(*) from blob',
  'blob.bytes': 'select coalesce(sum(size), 0) from blob',
  'cache.count': 'select count(*) from blob where is_cached',
  'cache.bytes': 'select coalesce(sum(size), 0) from blob where is_cached',
  'cache.manifest_bytes': 'select coalesce(sum(size), 0) from manifest where used_at is not null',
}

/** Now, in milliseconds since 1970, in SQL. */
const NOW = "cast(unixepoch('subsec') * 1000 as integer)"

const CHECKS: readonly Check[] = [
  {
    what: 'sums of blobs of a repository are wrong',
    find: `select name as example from repository where (blob_count, blob_bytes, own_bytes) is not ${SUMS}`,
    repair: [`update repository set (blob_count, blob_bytes, own_bytes) = ${SUMS}`],
  },
  {
    what: 'counts of tags and manifests of a repository are wrong',
    find: `select name as example from repository where (tag_count, manifest_count, manifest_bytes) is not ${COUNTS}`,
    repair: [
      `update repository set tag_count = (select count(*) from tag t where t.repository_id = repository.id),
         (manifest_count, manifest_bytes) = (select count(*), coalesce(sum(m.size), 0) from manifest m
           where m.repository_id = repository.id and m.deleted_at is null)`,
    ],
  },
  ...Object.entries(TOTALS).map(([name, sum]) => ({
    what: `the total ${name} is wrong`,
    find: `select value as example from total where name = '${name}' and value <> (${sum})`,
    repair: [`update total set value = (${sum}) where name = '${name}'`],
  })),
  {
    what: 'unreferenced manifests are not marked as garbage',
    find: `select p.name || '@' || lower(hex(m.digest)) as example from manifest m join repository p on p.id = m.repository_id
      where m.deleted_at is null and m.used_at is null and m.unreferenced_at is null and m.untagged_at is null
        and not ${REACHED}`,
    repair: [
      `update manifest as m set unreferenced_at = ${NOW} where m.deleted_at is null and m.used_at is null
         and m.unreferenced_at is null and m.untagged_at is null and not ${REACHED}`,
    ],
  },
  {
    what: 'manifests in use are marked as garbage',
    find: `select p.name || '@' || lower(hex(m.digest)) as example from manifest m join repository p on p.id = m.repository_id
      where (m.unreferenced_at is not null or m.untagged_at is not null) and m.deleted_at is null and ${REACHED}`,
    repair: [
      `update manifest as m set unreferenced_at = null, untagged_at = null
       where (m.unreferenced_at is not null or m.untagged_at is not null) and m.deleted_at is null and ${REACHED}`,
    ],
  },
  {
    what: 'blobs in use are marked as garbage',
    find: `select lower(hex(b.digest)) as example from repository_blob l join blob b on b.id = l.blob_id
      where l.unreferenced_at is not null and exists (select 1 from manifest_reference r
        where r.digest = b.digest and r.repository_id = l.repository_id)`,
    repair: [
      `update repository_blob as l set unreferenced_at = null where l.unreferenced_at is not null
         and exists (select 1 from manifest_reference r join blob b on b.digest = r.digest
           where b.id = l.blob_id and r.repository_id = l.repository_id)`,
    ],
  },
  {
    what: 'unreferenced blobs are not marked as garbage',
    find: `select lower(hex(b.digest)) as example from repository_blob l join blob b on b.id = l.blob_id
      where l.unreferenced_at is null and not exists (select 1 from manifest_reference r
        where r.digest = b.digest and r.repository_id = l.repository_id)`,
    repair: [
      `update repository_blob as l set unreferenced_at = ${NOW} where l.unreferenced_at is null
         and not exists (select 1 from manifest_reference r join blob b on b.digest = r.digest
           where b.id = l.blob_id and r.repository_id = l.repository_id)`,
    ],
  },
  {
    what: 'the search index differs from the repositories',
    prepare: [
      `create virtual table temp.expected_search using fts5(name, description, tokenize='trigram')`,
      `insert into temp.expected_search (rowid, name, description) select id, name, description from repository`,
      `create virtual table temp.expected_term using fts5vocab('temp', 'expected_search', 'instance')`,
      `create virtual table temp.search_term using fts5vocab('main', 'repository_search', 'instance')`,
    ],
    find: `select coalesce((select name from repository where id = doc), 'repository ' || doc) as example
      from (select * from (select * from search_term except select * from expected_term)
        union all select * from (select * from expected_term except select * from search_term)) group by doc`,
    discard: ['drop table search_term', 'drop table expected_term', 'drop table expected_search'],
    repair: [`insert into repository_search (repository_search) values ('rebuild')`],
  },
  {
    what: 'tags point to deleted manifests',
    find: `select p.name || ':' || t.name as example from tag t join manifest m on m.id = t.manifest_id
      join repository p on p.id = t.repository_id where m.deleted_at is not null`,
  },
  {
    what: 'tags differ from their history',
    find: `select p.name || ':' || t.name as example from tag t join repository p on p.id = t.repository_id
      where t.checked_at is null and (select h.digest from tag_history h
        where h.repository_id = t.repository_id and h.name = t.name order by h.id desc limit 1) is not t.digest
        and exists (select 1 from tag_history h where h.repository_id = t.repository_id and h.name = t.name)`,
  },
  {
    what: 'manifests have no bytes, or the wrong number of bytes',
    find: `select p.name || '@' || lower(hex(m.digest)) as example from manifest m join repository p on p.id = m.repository_id
      left join manifest_bytes b on b.digest = m.digest
      where length(b.bytes) is not m.size and m.digest not in (select digest from damaged_content)`,
  },
  {
    what: 'bytes of manifests have no manifest',
    find: `select lower(hex(digest)) as example from manifest_bytes where digest not in (select digest from manifest)`,
    repair: ['delete from manifest_bytes where digest not in (select digest from manifest)'],
  },
  {
    what: 'rows refer to rows that do not exist',
    find: `select "table" || ' ' || coalesce(rowid, '') as example from pragma_foreign_key_check`,
  },
]

/**
 * Opens a database to check it.
 *
 * @param forRepair whether to repair it, which needs the lock of its folder
 * @throws Error when its schema differs from this executable's
 */
function openChecked(path: string, forRepair: boolean) {
  const client = forRepair ? openForWriting(path).$client : new Database(path, { readonly: true })
  const schema = appliedMigrations({ $client: client })
  if (schema !== migrations.length) {
    client.close()
    throw new Error(
      `the database ${path} has schema ${schema}, but this cay uses schema ${migrations.length}: run the cay that ` +
        'serves it, or start this one once to upgrade it',
    )
  }
  // `bytesHere` is null when the bytes should be in a file.
  type Row = { id: number; digest: Uint8Array; size: number; bytesHere: number | null; isQuarantined: number }
  const blobs = client.query<Row, [number, number]>(
    `select b.id, b.digest, b.size, length(y.bytes) as bytesHere,
       exists (select 1 from damaged_content d where d.digest = b.digest) as isQuarantined
     from blob b left join blob_bytes y on y.blob_id = b.id where b.id > ? order by b.id limit ?`,
  )
  const blob = client.query('select 1 from blob where digest = ?')
  return {
    /** Returns what SQLite finds wrong with the file. If there is anything, no other result is reliable. */
    damage: () => databaseDamage(client),
    inconsistencies: (): Inconsistency[] =>
      CHECKS.flatMap(({ what, prepare = [], find, discard = [], repair }) => {
        for (const statement of prepare) client.run(statement)
        let count = 0
        const examples: string[] = []
        for (const { example } of client.query<{ example: string }, []>(find).iterate()) {
          if (count++ < EXAMPLES_MAX) examples.push(String(example))
        }
        for (const statement of discard) client.run(statement)
        return count === 0 ? [] : { what, count, examples, isRepairable: repair !== undefined }
      }),
    repair: () =>
      client.transaction(() => {
        for (const statement of CHECKS.flatMap(({ repair = [] }) => repair)) client.run(statement)
      })(),
    /** Returns at most `limit` blobs after the one with this id. */
    blobs: (after: number, limit: number) =>
      blobs.all(after, limit).map((row) => ({
        ...row,
        digest: digestFromBytes(Buffer.from(row.digest)),
        isQuarantined: row.isQuarantined === 1,
      })),
    hasBlob: (digest: Digest) => blob.get(digestToBytes(digest)) !== null,
    [Symbol.dispose]: () => client.close(),
  }
}
