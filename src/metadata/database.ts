import { Database } from 'bun:sqlite'
import { type BunSQLiteDatabase, drizzle } from 'drizzle-orm/bun-sqlite'
import * as accounts from './schema/account-schema.ts'
import * as cache from './schema/cache-schema.ts'
import * as damage from './schema/damage-schema.ts'
import * as content from './schema/schema.ts'

const schema = { ...content, ...accounts, ...cache, ...damage }

export type Db = BunSQLiteDatabase<typeof schema> & {
  $client: Database
  /** Its statements, prepared or not, by a key. */
  statements: Map<unknown, { text(): string }>
}

/** How long a statement waits for another process's lock, such as a backup's or a database shell's. */
const BUSY_MILLISECONDS_MAX = 5000

/** The size to which a checkpoint truncates the log's file, if a long write made it longer. */
const LOG_BYTES_KEPT = 32 * 1024 * 1024

/**
 * Opens the database for its only writer: in WAL mode, with a sync for each commit, and with foreign keys. The writer
 * runs the checkpoints, because SQLite ignores failed syncs in automatic ones. The log is checkpointed first: after a
 * failed sync, part of it may exist only in memory, and commits appended to it could not be recovered.
 *
 * @throws Error that names the database and the cause
 */
export function openForWriting(path: string): Db {
  try {
    const client = new Database(path, { create: true, readwrite: true })
    client.run(`PRAGMA busy_timeout=${BUSY_MILLISECONDS_MAX}`)
    // Takes effect when the first table is created, or with the next VACUUM.
    client.run('PRAGMA auto_vacuum=INCREMENTAL')
    client.run('PRAGMA journal_mode=WAL')
    client.run(`PRAGMA journal_size_limit=${LOG_BYTES_KEPT}`)
    client.run('PRAGMA synchronous=FULL')
    // On macOS a plain fsync leaves the data in the drive's cache. Other systems ignore both settings.
    client.run('PRAGMA fullfsync=ON')
    client.run('PRAGMA checkpoint_fullfsync=ON')
    // By default, the undo data of savepoints is written to a file.
    client.run('PRAGMA temp_store=MEMORY')
    client.run('PRAGMA wal_autocheckpoint=0')
    client.run('PRAGMA wal_checkpoint(TRUNCATE)')
    client.run('PRAGMA foreign_keys=ON')
    return withStatements(client)
  } catch (error) {
    throw new Error(`cannot open the database ${path}: ${causeOf(error)}`)
  }
}

/** Returns SQLite's own message with its code, from below the errors that wrap it. */
export function causeOf(error: unknown): string {
  const { cause, message, code } = error as Error & { code?: string }
  if (cause instanceof Error) return causeOf(cause)
  return code === undefined ? message : `${message} (${code})`
}

/** Opens an existing database for reading, beside its writer. */
export function openForReading(path: string): Db {
  const client = new Database(path, { readonly: true })
  client.run(`PRAGMA busy_timeout=${BUSY_MILLISECONDS_MAX}`)
  client.run('PRAGMA query_only=ON')
  return withStatements(client)
}

/** Frees the pages that SQLite keeps in memory. They are also in the system's cache. */
export function releaseMemory(db: Db): void {
  db.$client.run('PRAGMA shrink_memory')
}

/**
 * Hides a parameter from the query planner in a subquery. Otherwise, for most joins and limits, SQLite recompiles the
 * statement each time the parameter is bound, which costs ten times as much as running it.
 */
function keepPlan(sql: string): string {
  return sql.replace(/(=|<|>|\b(?:is|not|limit|offset)) \?/gi, '$1 (select ?)')
}

function withStatements(client: Database): Db {
  const prepare = client.prepare.bind(client)
  client.prepare = ((sql: string, ...rest: []) => prepare(keepPlan(sql), ...rest)) as typeof client.prepare
  return Object.assign(drizzle({ client, schema }), { statements: new Map() })
}
