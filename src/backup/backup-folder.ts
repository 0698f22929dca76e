import { existsSync, mkdirSync } from 'node:fs'
import { readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { type Static, Type as t } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { tryLock } from '../metadata/lock.ts'
import { parseLeniently } from '../oci/lenient-json.ts'

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

/**
 * Lists the complete snapshots of a backup folder, the oldest first.
 * @throws Error when the folder is not a backup, or a snapshot has a format that this cay does not know
 */
export async function listSnapshots(target: string): Promise<NamedSnapshot[]> {
  const names = await snapshotNames(target)
  return await Promise.all(names.map((name) => readSnapshot(target, name)))
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
