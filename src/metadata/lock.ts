import { Database } from 'bun:sqlite'
import { join } from 'node:path'

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
