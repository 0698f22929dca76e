import { type StatsFs, statfsSync } from 'node:fs'
import { open, readFile, rename, statfs } from 'node:fs/promises'
import { dirname } from 'node:path'
import { diskFull } from '../oci/error.ts'

/** Writes and syncs a file atomically: after a crash it exists completely or not at all. */
export async function writeDurably(path: string, text: string, mode: number): Promise<void> {
  const temporary = `${path}.new`
  const file = await open(temporary, 'w', mode)
  try {
    await file.chmod(mode)
    await file.writeFile(text)
    await file.sync()
  } finally {
    await file.close()
  }
  await rename(temporary, path)
  if (process.platform === 'win32') return
  const folder = await open(dirname(path), 'r')
  await folder.sync().finally(() => folder.close())
}

/** Returns the text of a file, or undefined if it does not exist. */
export async function findText(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

/** An error of the file system as plain data, so that it can be sent to another thread. */
export interface FileFailure {
  message: string
  /** The code of the system error, for example `ENOSPC`. */
  code: string | undefined
}

const FULL = new Set(['ENOSPC', 'EDQUOT'])

export function toFileFailure(error: unknown): FileFailure {
  const { message, code } = error as NodeJS.ErrnoException
  return { message, code }
}

/** Returns the error to throw: a RegistryError with status 507 for a full disk, otherwise an Error. */
export function fromFileFailure({ message, code }: FileFailure): Error {
  const cause = new Error(message)
  return code !== undefined && FULL.has(code) ? diskFull(cause) : cause
}

/** The size and free space of a disk, in bytes. */
export interface DiskSpace {
  totalBytes: number
  /** What this process can still use. */
  freeBytes: number
}

/** Measures the disk that a folder is on. */
export async function diskSpace(folder: string): Promise<DiskSpace> {
  return spaceOf(await statfs(folder))
}

/**
 * Measures the disk at once. Each asynchronous measurement would wait behind all requests that have arrived. On a local
 * disk the call takes some microseconds.
 */
export function diskSpaceNow(folder: string): DiskSpace {
  return spaceOf(statfsSync(folder))
}

/** A file system that reports no size, such as a ramfs, counts as unlimited. */
export function spaceOf({ blocks, bavail, bsize }: Pick<StatsFs, 'blocks' | 'bavail' | 'bsize'>): DiskSpace {
  if (blocks === 0) return { totalBytes: Number.MAX_SAFE_INTEGER, freeBytes: Number.MAX_SAFE_INTEGER }
  return { totalBytes: blocks * bsize, freeBytes: bavail * bsize }
}
