import { accessSync, constants, existsSync, mkdirSync, readdirSync, statfsSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { spaceOf } from '../storage/disk.ts'

/** The folders that a new data folder can contain: those of cay, and what file systems and tools create. */
const EXPECTED = /^(blobs|uploads|tls|lost\+found|\..*)$/

/** The least free space for a new database, in bytes. */
const NEW_BYTES_MIN = 4 * 1024 * 1024

/** Creates a folder, with its parents. Throws an Error that says why it cannot. */
export function makeFolder(folder: string, setting: string): void {
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 })
  } catch (error) {
    throw new Error(
      `cannot create the folder ${folder}: ${reasonOf(error)}; choose another one with --${setting}`,
    )
  }
}

/**
 * Checks that cay can use an existing folder: it can write there, and, unless a database is there, no other program has
 * files there, and there is room for a database.
 *
 * @throws Error that says what is wrong and what to do
 */
export function checkFolder(folder: string, setting: string): void {
  const other = `or choose another folder with --${setting}`
  if (!statSync(folder).isDirectory())
    throw new Error(`${folder} is not a folder: ${other.slice('or '.length)}`)
  try {
    accessSync(folder, constants.R_OK | constants.W_OK | constants.X_OK)
  } catch (error) {
    const user = process.getuid?.()
    const remedy =
      (error as NodeJS.ErrnoException).code === 'EROFS'
        ? 'mount it writable'
        : `run chown -R ${user} ${folder}`
    throw new Error(`cannot write to ${folder} as user ${user} (${reasonOf(error)}): ${remedy}, ${other}`)
  }
  if (existsSync(join(folder, 'cay.db')) || existsSync(join(folder, 'installation'))) return
  if (existsSync(join(folder, 'docker', 'registry', 'v2'))) {
    throw new Error(
      `${folder} is the data folder of registry:2: choose another folder with --${setting}, and import the images with ` +
        `cay import ${folder}`,
    )
  }
  const foreign = readdirSync(folder, { withFileTypes: true }).find(
    (entry) => entry.isDirectory() && !EXPECTED.test(entry.name),
  )
  if (foreign !== undefined)
    throw new Error(
      `${folder} belongs to another program (it contains the folder ${foreign.name}): choose an empty folder with --${setting}`,
    )
  const { freeBytes } = spaceOf(statfsSync(folder))
  if (freeBytes < NEW_BYTES_MIN)
    throw new Error(
      `the disk of ${folder} is full: a new data folder needs ${inKibibytes(NEW_BYTES_MIN)}, and ` +
        `${inKibibytes(freeBytes)} are free; free some space, ${other}`,
    )
}

/** Returns the words of the system's message, for example "permission denied", without its code and the path. */
function reasonOf(error: unknown): string {
  const { message } = error as Error
  return /^[A-Z]+: ([^,]+),/.exec(message)?.[1] ?? message
}

function inKibibytes(bytes: number): string {
  return `${Math.floor(bytes / 1024)} KiB`
}
