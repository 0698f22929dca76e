import { accessSync, chmodSync, constants, existsSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type { Logger } from 'pino'

/** The mode bits that give other users of the host access. */
const OTHERS = 0o077
const OTHERS_ENTER = 0o011

/** Files of the data folder that hold secrets. The upload key signs the ids of uploads. */
const SECRETS = ['initial-admin-password', 'tls/rootCA-key.pem', 'tls/server.pem', 'uploads/key']

/** Folders that cay creates in the data folder. */
const OWN_FOLDERS = ['blobs', 'uploads', 'tls', 'file-indexes']

/**
 * Makes all files and folders that this process creates private to its user: 0600 and 0700. SQLite gives the
 * write-ahead log the mode of the database.
 */
export function keepNewFilesPrivate(): void {
  process.umask(OTHERS)
}

/**
 * Removes other users' access to files that earlier versions, or a copy with other modes, left in the folders.
 *
 * @throws Error naming a file with secrets that others can still read, or that cay itself cannot read
 */
export function makePrivate(data: string, metadata: string, log: Logger): void {
  if (process.platform === 'win32') return
  const databases = readdirSync(metadata).filter((name) => name.startsWith('cay.db'))
  for (const path of [...databases.map((name) => join(metadata, name)), ...inside(data, SECRETS)]) {
    closeSecret(path)
  }
  for (const folder of inside(data, OWN_FOLDERS)) closeFolder(folder, data, log)
}

/** Logs a warning when other users can enter a folder that cay did not create. */
export function warnIfOpen(folder: string, log: Logger): void {
  if (process.platform === 'win32') return
  const { mode } = statSync(folder)
  if ((mode & OTHERS_ENTER) === 0) return
  log.warn(
    { folder, mode: (mode & 0o7777).toString(8).padStart(4, '0') },
    'other users of this host can enter the folder; cay keeps its own files private, but unless you share the folder on purpose, run: chmod 700',
  )
}

function inside(data: string, names: string[]): string[] {
  return names.map((name) => join(data, name)).filter((path) => existsSync(path))
}

function closeSecret(path: string): void {
  const { mode, uid } = statSync(path)
  const reason = (mode & OTHERS) === 0 ? undefined : failureOf(() => chmodSync(path, 0o600))
  // Some file systems accept a change of mode and ignore it.
  if ((statSync(path).mode & OTHERS) !== 0) {
    throw new Error(
      `other users of this host can read ${path}, which holds secrets, and its mode cannot be changed to 0600` +
        `${reason && ` (${reason})`}: give the file to the user that runs cay (chown ${process.getuid?.()} ${path}), ` +
        'or, if its file system has no modes, mount it with the option umask=0077',
    )
  }
  const denied = failureOf(() => accessSync(path, constants.R_OK | constants.W_OK))
  if (denied === undefined) return
  throw new Error(
    `cannot read and write ${path}, which belongs to user ${uid} while cay runs as user ${process.getuid?.()}: ` +
      `give the folder back with chown -R ${process.getuid?.()}, or run cay as user ${uid}`,
  )
}

/** Makes a folder private. One on another disk was mounted there, so its mode is the administrator's choice. */
function closeFolder(folder: string, data: string, log: Logger): void {
  const { mode, dev } = statSync(folder)
  if ((mode & OTHERS) === 0 || dev !== statSync(data).dev) return
  const cause = failureOf(() => chmodSync(folder, 0o700))
  if (cause !== undefined)
    log.warn({ folder, cause }, 'cannot keep other users of this host out of the folder')
}

function failureOf(act: () => void): string | undefined {
  try {
    act()
    return undefined
  } catch (error) {
    return (error as Error).message
  }
}
