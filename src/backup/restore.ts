import { existsSync } from 'node:fs'
import { mkdir, readdir, rename, rm } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { tryLock } from '../database/database.ts'
import type { Digest } from '../oci/reference.ts'
import { blobPlace } from '../storage/blob-store.ts'
import { writeDurably } from '../storage/durable-file.ts'
import {
  DESCRIPTION,
  DurableCopies,
  hashFile,
  isIntact,
  MISSING_MAX,
  type NamedSnapshot,
  readSnapshot,
  snapshotNames,
  syncPath,
} from './folder.ts'
import { openSnapshot, type Snapshot } from './snapshot.ts'

/** How many blobs are copied and verified in one batch. */
const BATCH = 8

/** The file that marks a folder whose restore is not complete. */
const MARKER = 'restoring'

/** What a restore leaves if it was interrupted, or failed, before it wrote its marker. */
const BEFORE_MARKER = new Set(['lock', `${MARKER}.new`, 'cay.db.part'])

/** What an interrupted restore leaves in a folder: the database only if it was interrupted at its very end. */
const OWN_NAMES = new Set([...BEFORE_MARKER, MARKER, 'blobs', 'tls', 'installation', 'cay.toml', 'cay.db'])

/** What a verification or a restore found. */
export interface Verified {
  blobs: number
  bytes: number
  /** Blobs that are missing from the backup or damaged: at most MISSING_MAX of them, and how many there are. */
  missing: Digest[]
  missingCount: number
  /** What is wrong with the database. */
  damage: string[]
}

interface VerifyOptions {
  signal?: AbortSignal | undefined
  progress?: ((done: number, total: number) => void) | undefined
}

interface RestoreOptions extends VerifyOptions {
  /** The backup folder. */
  source: string
  /** The snapshot's name; the newest by default. */
  name?: string | undefined
  /** The new data folder, and the folder of its database. They are empty, or do not exist. */
  data: string
  metadata: string
}

/**
 * Finds a snapshot of a backup folder, the newest by default.
 * @throws Error when there is none
 */
export async function findSnapshot(source: string, name: string | undefined): Promise<NamedSnapshot> {
  const all = await snapshotNames(source)
  const found = name ?? all.at(-1)
  if (found !== undefined && all.includes(found)) return await readSnapshot(source, found)
  throw new Error(
    name === undefined
      ? `${source} has no complete snapshot`
      : `${source} has no snapshot ${name}: it has ${all.join(', ') || 'none'}`,
  )
}

/**
 * Reads and hashes everything that a snapshot needs. Blobs that are damaged are moved aside, so that the next backup copies
 * them again.
 */
export async function verifySnapshot(
  source: string,
  found: NamedSnapshot,
  options: VerifyOptions = {},
): Promise<Verified> {
  const path = join(found.folder, 'cay.db')
  const damage = await databaseDamage(path, found)
  if (damage.length > 0) return { blobs: 0, bytes: 0, missing: [], missingCount: 0, damage }
  using snapshot = openSnapshot(path)
  return await eachBlob(snapshot, options, async ({ digest, size }) => {
    const { file } = blobPlace(source, digest)
    if (await isIntact(file, digest, size)) return true
    // Reported in any case, even if the blob is missing or the folder is read-only.
    await rename(file, `${file}.damaged`).catch(() => {})
    return false
  })
}

/**
 * Restores a snapshot into an empty folder. Each blob is verified; those that are missing or damaged are left out and
 * reported. An interrupted restore continues when it is called again. The database comes last, so that no server
 * starts on an incomplete folder.
 *
 * @throws Error when the folder is in use or not empty, or the snapshot's database is damaged
 */
export async function restoreBackup(
  options: RestoreOptions,
): Promise<Verified & { snapshot: NamedSnapshot }> {
  const { source, data, metadata } = options
  const snapshot = await findSnapshot(source, options.name)
  const isPart = await requireEmpty(data, false)
  if (metadata !== data) await requireEmpty(metadata, isPart)
  const unlock = tryLock(join(data, 'lock'))
  if (unlock === undefined) throw new Error(`${data} is in use by another process`)
  try {
    const restored = await restoreInto(options, snapshot)
    await rm(join(data, MARKER))
    return { ...restored, snapshot }
  } finally {
    unlock()
    if (!existsSync(join(metadata, 'cay.db'))) await rm(join(data, 'lock'), { force: true })
  }
}

async function restoreInto(options: RestoreOptions, found: NamedSnapshot): Promise<Verified> {
  const { source, data, metadata } = options
  const from = join(found.folder, 'cay.db')
  const damage = await databaseDamage(from, found)
  if (damage.length > 0)
    throw new Error(`the database of snapshot ${found.name} is damaged: ${damage.join('; ')}`)
  await writeDurably(join(data, MARKER), `${found.name}\n`, 0o600)
  const copies = new DurableCopies()
  using snapshot = openSnapshot(from)
  const restored = await eachBlob(snapshot, options, async ({ digest, size }) => {
    const [from, to] = [blobPlace(source, digest).file, blobPlace(data, digest).file]
    if (await isIntact(to, digest, size)) return true
    await copies.copyBytes(from, to).catch(async (error) => {
      if (await isIntact(from, digest, size)) throw error
    })
    if (await isIntact(to, digest, size)) return true
    await rm(to, { force: true })
    return false
  })
  const sideFiles = await readdir(found.folder, { recursive: true, withFileTypes: true })
  for (const { name, parentPath } of sideFiles.filter((entry) => entry.isFile())) {
    if (name === DESCRIPTION || name === 'cay.db') continue
    const inside = parentPath === found.folder ? '' : basename(parentPath)
    await copies.copyBytes(join(parentPath, name), join(data, inside, name))
  }
  await copies.sync()
  const part = join(metadata, 'cay.db.part')
  await new DurableCopies().copyBytes(from, part)
  await rename(part, join(metadata, 'cay.db'))
  await syncPath(metadata)
  return restored
}

/**
 * Creates the folder if needed. Returns whether it contains a part of an interrupted restore.
 *
 * @param isMarked whether the marker of an interrupted restore was found in the other folder
 * @throws Error when the folder contains anything else. A server that has run leaves more than the names of a restore.
 */
async function requireEmpty(folder: string, isMarked: boolean): Promise<boolean> {
  await mkdir(folder, { recursive: true, mode: 0o700 })
  const names = await readdir(folder)
  const isPart = (isMarked || names.includes(MARKER)) && names.every((name) => OWN_NAMES.has(name))
  if (isPart || names.every((name) => BEFORE_MARKER.has(name))) return isPart
  throw new Error(`${folder} is not empty: restore into a new folder, for example with --data`)
}

async function databaseDamage(path: string, { info }: NamedSnapshot): Promise<string[]> {
  if (!existsSync(path)) return ['cay.db is missing']
  if ((await hashFile(path, 'sha256')) !== info.databaseSha256) return ['the SHA-256 of cay.db is wrong']
  using snapshot = openSnapshot(path)
  return snapshot.damage()
}

/** Calls `isGood` for each blob in a file, and counts. */
async function eachBlob(
  snapshot: Snapshot,
  { signal, progress }: VerifyOptions,
  isGood: (blob: { digest: Digest; size: number }) => Promise<boolean>,
): Promise<Verified> {
  const found: Verified = { blobs: 0, bytes: 0, missing: [], missingCount: 0, damage: [] }
  const { blobs } = snapshot.counts()
  const check = async (one: { digest: Digest; size: number }) => {
    if (await isGood(one)) {
      found.blobs++
      found.bytes += one.size
      return
    }
    if (found.missing.length < MISSING_MAX) found.missing.push(one.digest)
    found.missingCount++
  }
  for (let after = 0; ; ) {
    signal?.throwIfAborted()
    const batch = snapshot.files(after, BATCH)
    await Promise.all(batch.map(check))
    progress?.(found.blobs + found.missingCount, blobs)
    const last = batch.at(-1)
    if (last === undefined) return found
    after = last.id
  }
}
