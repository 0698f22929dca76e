import { Database } from 'bun:sqlite'
import { join } from 'node:path'

/**
 * Locks a folder for this process with an exclusive SQLite lock, which ends with the process, however it ends.
 *
 * @param setting the one that chose the folder
 * @throws Error when another process has locked it
 * @returns how to unlock it
 */
export function lockFolder(folder: string, setting: 'data' | 'metadata'): () => void {
  const database = new Database(join(folder, 'lock'), { create: true, readwrite: true })
  try {
    database.run('PRAGMA journal_mode=MEMORY')
    database.run('BEGIN EXCLUSIVE')
  } catch (error) {
    database.close()
    if ((error as { code?: string }).code !== 'SQLITE_BUSY') throw error
    throw new Error(`another cay serves ${folder}: stop it, or choose another folder with --${setting}`)
  }
  return () => database.close()
}
