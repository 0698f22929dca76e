import { Database } from 'bun:sqlite'
import { join } from 'node:path'

/**
 * Takes the data folder for this process: an exclusive SQLite lock, which ends with the process, however it ends.
 *
 * @throws Error when another process has it
 * @returns how to give it back
 */
export function lockFolder(folder: string): () => void {
  const database = new Database(join(folder, 'lock'), { create: true, readwrite: true })
  try {
    database.run('PRAGMA journal_mode=MEMORY')
    database.run('BEGIN EXCLUSIVE')
  } catch (error) {
    database.close()
    if ((error as { code?: string }).code !== 'SQLITE_BUSY') throw error
    throw new Error(`another cay serves ${folder}: stop it, or choose another folder with --data`)
  }
  return () => database.close()
}
