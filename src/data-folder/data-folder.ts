import {
  accessSync,
  chmodSync,
  constants,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statfsSync,
  statSync,
  utimesSync,
} from 'node:fs'
import { join } from 'node:path'
import type { Logger } from 'pino'
import { CommandError, EXIT } from '../cli/failure.ts'
import type { Config } from '../config/schema.ts'
import { socketPath } from '../config/values.ts'
import { lockFolder, requireLocalDisk } from '../database/database.ts'
import type { Metadata } from '../database/metadata.ts'
import type { KeptClock } from '../runtime/clock.ts'
import { spaceOf, writeDurably } from '../storage/durable-file.ts'

/** The folders of an installation, locked for this process. */
export interface DataFolder {
  metadata: Metadata
  close(): Promise<void>
}

/**
 * Creates the folders if needed, locks them for this process, and opens the database.
 *
 * @param open opens the database in a folder
 * @throws Error that says which folder cannot be used, why, and what to do
 */
export async function openDataFolder(
  config: Pick<Config, 'data' | 'metadata'>,
  log: Logger,
  open: (folder: string) => Promise<Metadata>,
): Promise<DataFolder> {
  keepNewFilesPrivate()
  const folders = openFolders(config, log)
  requireLocalDisk(folders.metadata)
  const unlock = lock(folders)
  try {
    makePrivate(folders.data, folders.metadata, log)
    refuseLostDatabase(folders)
    const metadata = await open(folders.metadata)
    try {
      await joinInstallation(folders, metadata)
    } catch (error) {
      await metadata.close()
      throw error
    }
    return {
      metadata,
      async close() {
        await metadata.close()
        unlock()
      },
    }
  } catch (error) {
    unlock()
    throw error
  }
}

/** @throws CommandError if a folder has no registry */
export function requireRegistry(metadata: string): void {
  if (existsSync(join(metadata, 'cay.db'))) return
  const message = `${metadata} has no registry: check --data, or create one with cay serve`
  throw new CommandError(message, EXIT.absent)
}

/** Removes the socket that a crash may have left behind. */
export function removeSocket(data: string): void {
  rmSync(socketPath(data), { force: true })
}

/** Creates the folders. An existing one keeps its mode: it may be a share, or a volume that a group must reach. */
function openFolders({ data, metadata = data }: Pick<Config, 'data' | 'metadata'>, log: Logger): Folders {
  for (const [folder, setting] of new Map([
    [metadata, 'metadata'],
    [data, 'data'],
  ])) {
    if (existsSync(folder)) warnIfOpen(folder, log)
    else makeFolder(folder, setting)
    checkFolder(folder, setting)
  }
  return { data: realpathSync(data), metadata: realpathSync(metadata) }
}

/** Locks both folders. Returns a function that unlocks them. */
function lock({ data, metadata }: Folders): () => void {
  const unlockData = lockFolder(data, 'data')
  if (metadata === data) return unlockData
  try {
    const unlockMetadata = lockFolder(metadata, 'metadata')
    return () => {
      unlockMetadata()
      unlockData()
    }
  } catch (error) {
    unlockData()
    throw error
  }
}

/** The fact in the database that holds the id of its installation. */
const FACT = 'installation'

/** The folders of one installation. */
interface Folders {
  /** Blobs, uploads and certificates. */
  data: string
  /** The database; the same folder unless the setting `metadata` names another one. */
  metadata: string
}

/** Refuses an empty database for a data folder that already has one: all its blobs would look like garbage. */
function refuseLostDatabase({ data, metadata }: Folders): void {
  if (existsSync(join(metadata, 'cay.db'))) return
  if (readId(data) === undefined && !hasBlobs(data)) return
  throw new Error(`${metadata} has no database, but ${data} holds the blobs of one: ${whatToDo(data)}`)
}

/**
 * Checks that the data folder and the database have the same installation id. A new installation, or one that an
 * earlier version created, is given an id. The folder gets it first, so a crash never leaves a database bound to a
 * folder without the id.
 *
 * @throws Error that names both folders when they do not belong together
 */
async function joinInstallation({ data, metadata: folder }: Folders, metadata: Metadata): Promise<void> {
  const [inData, inDatabase] = [readId(data), metadata.credentials.fact(FACT)]
  if (inData !== undefined && inData === inDatabase) return
  const isUnused = (await metadata.storage.totals()).blobs === 0
  if (inData !== undefined && inDatabase !== undefined) {
    throw new Error(
      `the data folder ${data} belongs to installation ${inData}, but the database in ${folder} belongs to ` +
        `${inDatabase}: pass two folders of the same installation with --data and --metadata`,
    )
  }
  if (inDatabase !== undefined && !isUnused) {
    throw new Error(
      `the database in ${folder} belongs to installation ${inDatabase}, but the data folder ${data} does not: pass ` +
        `its data folder with --data; if you restored this folder without the file "installation", put it back: ` +
        `echo ${inDatabase} > ${pathIn(data)}`,
    )
  }
  if (inDatabase === undefined && isUnused && hasBlobs(data)) {
    throw new Error(
      `the database in ${folder} is empty, but ${data} holds the blobs of one: ${whatToDo(data)}`,
    )
  }
  const id = inDatabase ?? inData ?? crypto.randomUUID()
  await writeDurably(pathIn(data), `${id}\n`, 0o600)
  await metadata.write('addFact', { name: FACT, value: id })
}

function whatToDo(data: string): string {
  return (
    'pass the folder of its database with --metadata, or restore cay.db from a backup; to start with an empty ' +
    `registry, choose another folder with --data, or move ${join(data, 'blobs')} and ${pathIn(data)} away`
  )
}

function pathIn(data: string): string {
  return join(data, 'installation')
}

function readId(data: string): string | undefined {
  const path = pathIn(data)
  return existsSync(path) ? readFileSync(path, 'utf8').trim() || undefined : undefined
}

/** Reports whether there is a file in `blobs/<algorithm>/<2 hex>/`. */
function hasBlobs(data: string): boolean {
  const below = (folder: string): string[] =>
    readdirSync(folder, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => join(folder, name))
  const blobs = join(data, 'blobs')
  if (!existsSync(blobs)) return false
  return below(blobs).some((algorithm) => below(algorithm).some((folder) => readdirSync(folder).length > 0))
}

/** The mode bits that give other users of the host access. */
const OTHERS = 0o077
const OTHERS_ENTER = 0o011

/** Files of the data folder that hold secrets. The upload key signs the ids of uploads. */
const SECRETS = ['initial-admin-password', 'tls/rootCA-key.pem', 'tls/server.pem', 'uploads/key']

/** Folders that cay creates in the data folder. */
const OWN_FOLDERS = ['blobs', 'uploads', 'tls', 'file-indexes']

/** Makes all that this process creates private to its user. SQLite gives its log the mode of the database. */
function keepNewFilesPrivate(): void {
  process.umask(OTHERS)
}

/** Removes other users' access to files left by earlier versions or a copy. Throws an Error if it cannot. */
function makePrivate(data: string, metadata: string, log: Logger): void {
  if (process.platform === 'win32') return
  const databases = readdirSync(metadata).filter((name) => name.startsWith('cay.db'))
  for (const path of [...databases.map((name) => join(metadata, name)), ...inside(data, SECRETS)]) {
    closeSecret(path)
  }
  for (const folder of inside(data, OWN_FOLDERS)) closeFolder(folder, data, log)
}

/** Logs a warning when other users can enter a folder that cay did not create. */
function warnIfOpen(folder: string, log: Logger): void {
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

/** The folders that a new data folder can contain: those of cay, and what file systems and tools create. */
const EXPECTED = /^(blobs|uploads|tls|lost\+found|\..*)$/

/** The least free space for a new database, in KiB. */
const NEW_KIB_MIN = 4096

/** Creates a folder, with its parents. Throws an Error that says why it cannot. */
function makeFolder(folder: string, setting: string): void {
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
function checkFolder(folder: string, setting: string): void {
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
  const freeKiB = Math.floor(spaceOf(statfsSync(folder)).freeBytes / 1024)
  if (freeKiB < NEW_KIB_MIN)
    throw new Error(
      `the disk of ${folder} is full: a new data folder needs ${NEW_KIB_MIN} KiB, and ${freeKiB} KiB are free; ` +
        `free some space, ${other}`,
    )
}

/** Returns the words of the system's message, for example "permission denied", without its code and the path. */
function reasonOf(error: unknown): string {
  const { message } = error as Error
  return /^[A-Z]+: ([^,]+),/.exec(message)?.[1] ?? message
}

/**
 * Keeps the file `<data>/running` while a server uses the folder. A server that finds it at startup follows a crash, at
 * about the file's modification time. The file contains the time of an earlier crash that is not cleaned up yet.
 */
export async function openCrashMarker(data: string) {
  const path = join(data, 'running')
  let crashedAt = existsSync(path) ? Number(readFileSync(path, 'utf8')) || statSync(path).mtimeMs : undefined
  const write = () => writeDurably(path, crashedAt === undefined ? '' : String(crashedAt), 0o600)
  await write()
  return {
    /** The last time a server was known to run before a crash not yet cleaned up, in milliseconds since 1970. */
    crashedAt: () => crashedAt,
    /** Records that the server is running. Call it about once a minute. */
    touch() {
      const now = new Date()
      utimesSync(path, now, now)
    },
    /** Records that what the crash left behind was removed. */
    async settle() {
      crashedAt = undefined
      await write()
    },
    /** Records a clean shutdown. */
    close() {
      if (crashedAt === undefined) rmSync(path, { force: true })
    },
  }
}

/** The recorded state of the last server: its clock for deletions, and the rest of its startup grace. */
export interface RemovalRecord extends KeptClock {
  waitMs: number
}

/** Reads the record of a data folder. Returns undefined if there is none, or if it is damaged. */
export function readRemovalRecord(data: string): RemovalRecord | undefined {
  try {
    const { at, jumpedMs, waitMs } = JSON.parse(readFileSync(removalPath(data), 'utf8'))
    const isKnown = [at, jumpedMs, waitMs].every((value) => typeof value === 'number' && value >= 0)
    return isKnown ? { at, jumpedMs, waitMs } : undefined
  } catch {
    return undefined
  }
}

export async function writeRemovalRecord(data: string, record: RemovalRecord): Promise<void> {
  await writeDurably(removalPath(data), `${JSON.stringify(record)}\n`, 0o600)
}

function removalPath(data: string): string {
  return join(data, 'gc-clock')
}
