import { Database } from 'bun:sqlite'
import { type BunSQLiteDatabase, drizzle } from 'drizzle-orm/bun-sqlite'
import * as accounts from './account-schema.ts'
import * as content from './schema.ts'

const schema = { ...content, ...accounts }

export type Db = BunSQLiteDatabase<typeof schema> & {
  $client: Database
  /** Every statement that was made for it, prepared or not. */
  statements: { text(): string }[]
}

/** How long a statement waits for a lock that another process holds (a backup, a shell on the database). */
const BUSY_MILLISECONDS_MAX = 5000

/** Pages of the write-ahead log (4 KiB each) before they are moved into the database. */
const LOG_PAGES_MAX = 4000

/** Opens the database for its one writer: WAL, each commit synced, foreign keys on. */
export function openForWriting(path: string): Db {
  const client = new Database(path, { create: true, readwrite: true })
  client.run(`PRAGMA busy_timeout=${BUSY_MILLISECONDS_MAX}`)
  client.run('PRAGMA journal_mode=WAL')
  client.run('PRAGMA synchronous=FULL')
  client.run(`PRAGMA wal_autocheckpoint=${LOG_PAGES_MAX}`)
  client.run('PRAGMA foreign_keys=ON')
  return withStatements(client)
}

/** Opens a database that exists for reading, beside its writer. */
export function openForReading(path: string): Db {
  const client = new Database(path, { readonly: true })
  client.run(`PRAGMA busy_timeout=${BUSY_MILLISECONDS_MAX}`)
  client.run('PRAGMA query_only=ON')
  return withStatements(client)
}

function withStatements(client: Database): Db {
  return Object.assign(drizzle({ client, schema }), { statements: [] })
}
