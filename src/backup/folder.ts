import { existsSync, mkdirSync } from 'node:fs'
import { constants, copyFile, link, mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { type Static, Type as t } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { tryLock } from '../database/database.ts'
import { parseLeniently } from '../oci/image-config.ts'
import { algorithmOf, type Digest, type DigestAlgorithm, hexOf } from '../oci/reference.ts'

/*
 * A backup folder has one copy of each blob, and a folder for each snapshot:
 *
 *   blobs/sha256/ab/<hex>               as in the data folder
 *   snapshots/20261126T101500Z/cay.db   the database at that time; small blobs and manifests are in it
 *                              backup.json, and the small files of the data folder
 */

/** The format of a backup folder that this cay writes and reads. */
const FORMAT = 1

/** The content of `backup.json`, which describes a snapshot. */
const snapshotModel = t.Object({
  format: t.Literal(FORMAT),
  /** The version of cay that made it. */
  version: t.String(),
  /** The schema of its database. */
  schema: t.Integer(),
  /** RFC 3339 */
  at: t.String(),
  /** The SHA-256 of `cay.db`, in hex. */
  databaseSha256: t.String(),
  /** Whether it contains content cached from upstreams. */
  withCache: t.Boolean(),
  repositories: t.Integer(),
  tags: t.Integer(),
  manifests: t.Integer(),
  blobs: t.Integer(),
  bytes: t.Integer(),
  /** Blobs whose bytes the data folder did not have: at most MISSING_MAX of their digests. */
  missing: t.Array(t.String()),
  missingCount: t.Integer(),
})

export type SnapshotInfo = Static<typeof snapshotModel>

/** A complete snapshot of a backup folder. */
export interface NamedSnapshot {
  name: string
  folder: string
  info: SnapshotInfo
}

/** How many digests a result lists; it counts the others. */
export const MISSING_MAX = 1000

/** The file that describes a snapshot, which is written last: without it a snapshot is not complete. */
export const DESCRIPTION = 'backup.json'

/** The prefix of a snapshot that is not complete. */
const UNFINISHED = '.new-'

/** The folder of snapshots in a backup folder. */
export function snapshotsFolder(target: string): string {
  return join(target, 'snapshots')
}

/** Returns the name of a snapshot of this time (milliseconds since 1970), which sorts by time. */
export function snapshotName(at: number): string {
  return new Date(at).toISOString().replaceAll(/[-:]|\.\d+/g, '')
}

/** Returns the folder in which a snapshot is written until it is complete. */
export function unfinishedFolder(target: string, name: string): string {
  return join(snapshotsFolder(target), `${UNFINISHED}${name}`)
}

/** Removes what interrupted backups left in the folder of snapshots. */
export async function removeUnfinished(target: string): Promise<void> {
  const names = await readdir(snapshotsFolder(target))
  const unfinished = names.filter((name) => name.startsWith(UNFINISHED))
  for (const name of unfinished) await rm(join(snapshotsFolder(target), name), { recursive: true })
}

/**
 * Returns the names of the complete snapshots of a backup folder, the oldest first.
 * @throws Error when the folder is not a backup
 */
export async function snapshotNames(target: string): Promise<string[]> {
  const names = await readdir(snapshotsFolder(target)).catch((cause: NodeJS.ErrnoException) => {
    if (cause.code !== 'ENOENT' && cause.code !== 'ENOTDIR') throw cause
    throw new Error(`${target} is not a backup of cay: it has no folder "snapshots"`)
  })
  const isComplete = (name: string) =>
    !name.startsWith('.') && existsSync(join(snapshotsFolder(target), name, DESCRIPTION))
  return names.filter(isComplete).toSorted()
}

/** Returns the newest complete snapshot, or undefined while the folder has none or does not exist. */
export async function newestSnapshot(target: string): Promise<NamedSnapshot | undefined> {
  if (!existsSync(snapshotsFolder(target))) return undefined
  const name = (await snapshotNames(target)).at(-1)
  return name === undefined ? undefined : await readSnapshot(target, name)
}

/**
 * Reads the description of a complete snapshot.
 * @throws Error when it has a format that this cay does not know
 */
export async function readSnapshot(target: string, name: string): Promise<NamedSnapshot> {
  const folder = join(snapshotsFolder(target), name)
  const path = join(folder, DESCRIPTION)
  const info = parseLeniently(await readFile(path, 'utf8'))
  if (Value.Check(snapshotModel, info)) return { name, folder, info }
  throw new Error(
    `${path} has a format that this cay does not know: use the version that made it, or a newer one`,
  )
}

/** Describes a snapshot for `backup.json`. */
export function describeSnapshot(info: Omit<SnapshotInfo, 'format'>): string {
  return `${JSON.stringify({ format: FORMAT, ...info }, undefined, 2)}\n`
}

/**
 * Creates a backup folder if needed, and locks it for this process.
 * @throws Error when another backup writes to it
 * @returns a function that unlocks it
 */
export function openBackupFolder(target: string): () => void {
  for (const folder of [target, join(target, 'blobs'), snapshotsFolder(target)]) {
    mkdirSync(folder, { recursive: true, mode: 0o700 })
  }
  const unlock = tryLock(join(target, 'lock'))
  if (unlock !== undefined) return unlock
  throw new Error(`another backup writes to ${target}: wait until it ends`)
}

/** Copies of files that survive a power loss once `sync` has resolved. */
export class DurableCopies {
  private readonly folders = new Set<string>()

  /**
   * Copies a file under its final name, which it gets when it is complete: as a hard link or a reflink where the file
   * system allows, otherwise by its bytes.
   * @returns false when there is no such file
   */
  async copy(from: string, to: string): Promise<boolean> {
    await mkdir(dirname(to), { recursive: true, mode: 0o700 })
    this.folders.add(dirname(to))
    try {
      await link(from, to)
      return true
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (code === 'EEXIST') return true
      if (code === 'ENOENT') return false
    }
    return await this.copyBytes(from, to)
  }

  /** Copies a file by a reflink or its bytes, so that the copy does not share its storage with the original. */
  async copyBytes(from: string, to: string): Promise<boolean> {
    const part = `${to}.part`
    await mkdir(dirname(to), { recursive: true, mode: 0o700 })
    this.folders.add(dirname(to))
    try {
      await copyFile(from, part, constants.COPYFILE_FICLONE)
      await syncPath(part)
      await rename(part, to)
      return true
    } catch (error) {
      await rm(part, { force: true })
      if ((error as NodeJS.ErrnoException).code === 'ENOENT' && (await sizeOf(from)) === undefined)
        return false
      throw error
    }
  }

  /** Syncs the folders that got a copy. */
  async sync(): Promise<void> {
    if (process.platform === 'win32') return
    for (const folder of this.folders) {
      await syncPath(folder)
      await syncPath(join(folder, '..'))
    }
    this.folders.clear()
  }
}

/** Syncs a file or a folder. */
export async function syncPath(path: string): Promise<void> {
  const file = await open(path, 'r')
  await file.sync().finally(() => file.close())
}

/** Returns the size of a file in bytes, or undefined if there is none. */
export async function sizeOf(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).size
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

/** Hashes a file in pieces, and returns the hash in hex. Rejects if the file cannot be read. */
export async function hashFile(path: string, algorithm: DigestAlgorithm): Promise<string> {
  const hash = new Bun.CryptoHasher(algorithm)
  for await (const chunk of Bun.file(path).stream()) hash.update(chunk)
  return hash.digest('hex')
}

/** The error codes of a disk that cannot read a file. */
const UNREADABLE = new Set(['EIO', 'EISDIR'])

/** Reports whether a file has the size and the digest. A file that the disk cannot read does not. */
export async function isIntact(path: string, digest: Digest, size: number): Promise<boolean> {
  if ((await sizeOf(path)) !== size) return false
  try {
    return (await hashFile(path, algorithmOf(digest))) === hexOf(digest)
  } catch (error) {
    if (UNREADABLE.has((error as NodeJS.ErrnoException).code ?? '')) return false
    throw error
  }
}
