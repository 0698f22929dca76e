import { Database } from 'bun:sqlite'
import { type BunSQLiteDatabase, drizzle } from 'drizzle-orm/bun-sqlite'
import * as accounts from './account-schema.ts'
import * as cache from './cache-schema.ts'
import * as damage from './damage-schema.ts'
import * as content from './schema.ts'

const schema = { ...content, ...accounts, ...cache, ...damage }

export type Db = BunSQLiteDatabase<typeof schema> & {
  $client: Database
  /** Every statement that was made for it, prepared or not. */
  statements: { text(): string }[]
}

/** How long a statement waits for a lock that another process holds (a backup, a shell on the database). */
const BUSY_MILLISECONDS_MAX = 5000

/** The log's file is cut to this after a checkpoint, if a long write made it longer. */
const LOG_BYTES_KEPT = 32 * 1024 * 1024

/**
 * Opens the database for its one writer: WAL, each commit synced, foreign keys on. Checkpoints are the writer's task:
 * SQLite would ignore a sync that fails in one of its own. What the log holds is moved into the database first: after a
 * sync that failed, a part of the log may be in memory only, and what is appended to it could not be recovered.
 *
 * @throws Error that names the database and the cause
 */
export function openForWriting(path: string): Db {
  try {
    const client = new Database(path, { create: true, readwrite: true })
    client.run(`PRAGMA busy_timeout=${BUSY_MILLISECONDS_MAX}`)
    // Takes effect when the first table is made, or with the next VACUUM.
    client.run('PRAGMA auto_vacuum=INCREMENTAL')
    client.run('PRAGMA journal_mode=WAL')
    client.run(`PRAGMA journal_size_limit=${LOG_BYTES_KEPT}`)
    client.run('PRAGMA synchronous=FULL')
    // On macOS a plain fsync leaves the data in the drive's cache. Other systems ignore both settings.
    client.run('PRAGMA fullfsync=ON')
    client.run('PRAGMA checkpoint_fullfsync=ON')
    // By default, what a savepoint could undo is written to a file.
    client.run('PRAGMA temp_store=MEMORY')
    client.run('PRAGMA wal_autocheckpoint=0')
    client.run('PRAGMA wal_checkpoint(TRUNCATE)')
    client.run('PRAGMA foreign_keys=ON')
    return withStatements(client)
  } catch (error) {
    throw new Error(`cannot open the database ${path}: ${causeOf(error)}`)
  }
}

/** What SQLite said, with its code, beneath what was wrapped around it. */
export function causeOf(error: unknown): string {
  const { cause, message, code } = error as Error & { code?: string }
  if (cause instanceof Error) return causeOf(cause)
  return code === undefined ? message : `${message} (${code})`
}

/** Opens a database that exists for reading, beside its writer. */
export function openForReading(path: string): Db {
  const client = new Database(path, { readonly: true })
  client.run(`PRAGMA busy_timeout=${BUSY_MILLISECONDS_MAX}`)
  client.run('PRAGMA query_only=ON')
  return withStatements(client)
}

/** Frees the pages that SQLite keeps in memory. They are in the system's cache, too. */
export function releaseMemory(db: Db): void {
  db.$client.run('PRAGMA shrink_memory')
}

/**
 * SQLite compiles a statement anew whenever a parameter that its plan looks at is bound: most joins and limits, which
 * costs ten times what running them does. It does not look into a subquery.
 */
function keepPlan(sql: string): string {
  return sql.replace(/(=|<|>|\b(?:is|not|limit|offset)) \?/gi, '$1 (select ?)')
}

function withStatements(client: Database): Db {
  const prepare = client.prepare.bind(client)
  client.prepare = ((sql: string, ...rest: []) => prepare(keepPlan(sql), ...rest)) as typeof client.prepare
  return Object.assign(drizzle({ client, schema }), { statements: [] })
}
