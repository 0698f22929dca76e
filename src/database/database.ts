import { Database } from 'bun:sqlite'
import { statfsSync } from 'node:fs'
import { join } from 'node:path'
import { type BunSQLiteDatabase, drizzle } from 'drizzle-orm/bun-sqlite'
import * as accounts from './account-schema.ts'
import * as content from './schema.ts'

const schema = { ...content, ...accounts }

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

/**
 * Locks a folder for this process.
 *
 * @param setting the setting that chose the folder
 * @throws Error when another process has locked it
 * @returns a function that unlocks it
 */
export function lockFolder(folder: string, setting: 'data' | 'metadata'): () => void {
  const unlock = tryLock(join(folder, 'lock'))
  if (unlock !== undefined) return unlock
  throw new Error(`another cay serves ${folder}: stop it, or choose another folder with --${setting}`)
}

/**
 * Takes the exclusive SQLite lock of a file. The system releases it when the process ends, even after a crash.
 *
 * @param milliseconds how long to wait for another process, blocking this thread
 * @returns a function that releases it, or undefined if another process holds it
 */
export function tryLock(path: string, milliseconds = 0): (() => void) | undefined {
  const database = new Database(path, { create: true, readwrite: true })
  try {
    database.run(`PRAGMA busy_timeout=${milliseconds}`)
    database.run('PRAGMA journal_mode=MEMORY')
    database.run('BEGIN EXCLUSIVE')
    return () => database.close()
  } catch (error) {
    database.close()
    if ((error as { code?: string }).code !== 'SQLITE_BUSY') throw error
    return undefined
  }
}

/** How long a backup waits for a batch of garbage collection. */
const WAIT_MILLISECONDS_MAX = 10_000

/** The file of the lock that makes backups and the removal of garbage exclude each other. */
function lockFile(data: string): string {
  return join(data, 'removal-lock')
}

/**
 * Keeps garbage collection of a data folder, in any process, from removing bytes until the returned function is
 * called or this process ends.
 *
 * @throws Error when another backup of the folder is running
 */
export function lockRemovals(data: string): () => void {
  const release = tryLock(lockFile(data), WAIT_MILLISECONDS_MAX)
  if (release !== undefined) return release
  throw new Error(`another backup of ${data} is running: wait until it ends`)
}

/** Returns the lock for one batch of removals, or undefined while a backup is running. */
export function lockForRemoval(data: string): (() => void) | undefined {
  return tryLock(lockFile(data))
}

/** Linux's magic numbers of file systems whose locks and shared memory are not reliable enough for SQLite's WAL. */
const REMOTE: Record<number, string> = {
  26985: 'NFS',
  20859: 'SMB',
  4283649346: 'CIFS',
  4266872130: 'SMB',
  1702057286: 'FUSE',
}

/** Throws an Error that says what to do when the folder is not on a local disk. */
export function requireLocalDisk(folder: string): void {
  if (process.platform !== 'linux') return
  const kind = REMOTE[statfsSync(folder).type >>> 0]
  if (kind === undefined) return
  throw new Error(
    `${folder} is on ${kind}, where the database would not be safe: keep the blobs there, ` +
      'and give the database a folder on a local disk with --metadata',
  )
}

/** Returns what SQLite finds wrong with a database's file: at most 20 lines, none if it is intact. Reads all of it. */
export function databaseDamage(client: Database): string[] {
  try {
    return client
      .query<{ integrity_check: string }, []>('PRAGMA integrity_check(20)')
      .all()
      .map((row) => row.integrity_check)
      .filter((line) => line !== 'ok')
  } catch (error) {
    // Some damage makes the check itself fail.
    if (!/malformed|not a database/.test((error as Error).message)) throw error
    return [(error as Error).message]
  }
}

/** Does the same for a file, which other processes may be using. */
export function damageOfFile(path: string): string[] {
  using client = new Database(path, { readonly: true })
  return databaseDamage(client)
}
