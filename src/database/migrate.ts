import { Database } from 'bun:sqlite'
import {
  closeSync,
  existsSync,
  fsyncSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { causeOf, type Db } from './database.ts'
import { migrations } from './migrations.ts'

interface Migrator {
  dialect: { migrate(list: unknown, session: unknown, config: { migrationsTable: string }): void }
  session: unknown
}

const TABLE = '__drizzle_migrations'

/** The codes of errors after which the database must not be used. */
const DAMAGED = /^SQLITE_(IOERR(?!_GETTEMPPATH)|CORRUPT|NOTADB)/

/** The value of `PRAGMA auto_vacuum` with which free pages are released step by step. */
const INCREMENTAL = 2

/**
 * Migrates the database to this executable's schema. One with content is copied first, to `<path>.before-<n>`, where
 * n is the number of its migrations.
 *
 * @throws Error when a newer executable created it, or the disk is full. The database is unchanged then.
 */
export function migrate(db: Db, path: string): void {
  const applied = appliedMigrations(db)
  if (applied > migrations.length) {
    throw new Error(
      `the database ${path} was made by a newer cay (schema ${applied}, this one knows ${migrations.length}): ` +
        'run that version, or restore the copy that it made before',
    )
  }
  if (applied < migrations.length) apply(db, path, applied)
  letShrink(db)
}

function apply(db: Db, path: string, applied: number): void {
  if (applied > 0) keepCopy(db.$client, path, applied)
  const { dialect, session } = db as unknown as Migrator
  try {
    dialect.migrate(migrations, session, { migrationsTable: TABLE })
  } catch (error) {
    throw new Error(
      `cannot bring the database ${path} from schema ${applied} to ${migrations.length}: ${causeOf(error)}; ` +
        'it is unchanged: if the disk is full, free some space and start again',
    )
  }
}

/**
 * Makes a database of an earlier version release its free pages from now on. If that fails, for example because there
 * is no space or no folder for the temporary copy, the database is unchanged, and the next start tries again.
 *
 * @throws Error when the disk or the database is damaged
 */
function letShrink({ $client }: Db): void {
  const [mode] = $client.query('PRAGMA auto_vacuum').values()[0] ?? []
  if (mode === INCREMENTAL) return
  try {
    $client.run('VACUUM')
    // The log contains the whole database now.
    $client.run('PRAGMA wal_checkpoint(TRUNCATE)')
  } catch (error) {
    if (DAMAGED.test((error as { code?: string }).code ?? '')) throw error
  }
}

/** Returns how many migrations a database has; 0 for an empty one. */
export function appliedMigrations({ $client }: Pick<Db, '$client'>): number {
  const table = $client.query('select 1 from sqlite_master where name = ?').get(TABLE)
  if (table === null) return 0
  const row = $client.query<{ n: number }, []>(`select count(*) as n from "${TABLE}"`).get()
  return row?.n ?? 0
}

const MiB = 1024 * 1024

/**
 * Copies the database before its migration from schema `applied` to `<path>.before-<applied>`. The copy is written to
 * a temporary file, synced and renamed, so a copy under the final name is complete. A copy with the same content,
 * left by a failed start, is reused.
 *
 * @throws Error that says how much space the copy takes and what to do
 */
function keepCopy(client: Database, path: string, applied: number): void {
  const name = `${path}.before-${applied}`
  const content = contentOf(client)
  for (const file of filesLike(name, /\.new(-journal)?$/)) rmSync(file, { recursive: true, force: true })
  const copies = filesLike(name, /^(-\d+)?$/).map((file) => ({ file, content: contentIn(file) }))
  if (copies.some((copy) => copy.content === content)) return
  // Earlier versions wrote directly to the final name, so a kill could leave an empty copy.
  const broken = copies.find((copy) => copy.content === undefined)?.file
  const target = broken ?? freeName(name)
  try {
    client.query('VACUUM INTO ?').run(`${target}.new`)
    sync(`${target}.new`)
    renameSync(`${target}.new`, target)
    if (process.platform !== 'win32') sync(dirname(target))
  } catch (error) {
    rmSync(`${target}.new`, { force: true })
    throw new Error(
      `cannot copy the database ${path} to ${target}, which comes before its migration: ${causeOf(error)}; the copy ` +
        `takes up to ${Math.ceil(statSync(path).size / MiB)} MiB: free that much there and start again, or run the ` +
        'version of cay from before; the database is unchanged',
    )
  }
}

/** Returns the files whose name is `path` followed by a match of `rest`. */
function filesLike(path: string, rest: RegExp): string[] {
  const [folder, name] = [dirname(path), basename(path)]
  return readdirSync(folder)
    .filter((file) => file.startsWith(name) && rest.test(file.slice(name.length)))
    .map((file) => join(folder, file))
}

function freeName(name: string): string {
  let free = name
  for (let n = 2; existsSync(free); n++) free = `${name}-${n}`
  return free
}

/** Returns a summary of a copy; undefined when it is not a complete database. */
function contentIn(path: string): string | undefined {
  try {
    using client = new Database(path, { readonly: true })
    const content = contentOf(client)
    return content === '[]' ? undefined : content
  } catch {
    return undefined
  }
}

/**
 * Returns a summary that shows whether a database has changed since it was copied: the number of rows of each table,
 * and the sum of each numeric column. Every change records its time, so it changes a sum.
 */
function contentOf(client: Database): string {
  const tables = client
    .query<{ name: string }, []>(
      "select name from sqlite_master where type = 'table' and name not like 'sqlite\\_%' escape '\\' order by name",
    )
    .all()
  const sums = tables.map(({ name }) => {
    const columns = client
      .query<{ name: string }, [string]>(
        "select name from pragma_table_info(?) where type = 'integer' collate nocase",
      )
      .all(name)
    const totals = columns.map((column) => `, total("${column.name}")`).join('')
    return [name, ...client.query(`select count(*)${totals} from "${name}"`).values()]
  })
  return JSON.stringify(sums)
}

function sync(path: string): void {
  const file = openSync(path, 'r')
  try {
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
}
