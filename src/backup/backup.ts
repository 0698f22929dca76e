import { existsSync, realpathSync } from 'node:fs'
import { mkdir, readdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { version } from '../config/values.ts'
import { lockRemovals } from '../database/database.ts'
import { type Digest, digestFromHex, tryParseAlgorithm, tryParseDigest } from '../oci/reference.ts'
import { blobPlace, blobsFolder } from '../storage/blob-store.ts'
import { writeDurably } from '../storage/durable-file.ts'
import {
  DESCRIPTION,
  DurableCopies,
  describeSnapshot,
  hashFile,
  isIntact,
  MISSING_MAX,
  type NamedSnapshot,
  openBackupFolder,
  removeUnfinished,
  sizeOf,
  snapshotName,
  snapshotNames,
  snapshotsFolder,
  syncPath,
  unfinishedFolder,
} from './folder.ts'
import { copyDatabase, dropCachedContent, openSnapshot, type Snapshot } from './snapshot.ts'

/** How many blobs are looked up and copied in one batch. */
const BATCH = 64

/** The small files of a data folder that belong to a backup: settings, its id, and its certificate authority. */
const SIDE_FILES = ['installation', 'cay.toml']
const SIDE_FOLDER = 'tls'

export interface BackupOptions {
  /** The data folder, and the folder of its database. */
  data: string
  metadata: string
  /** The backup folder. */
  target: string
  /** The time of the snapshot, in milliseconds since 1970. */
  at: number
  /** How many snapshots remain; all by default. */
  keep?: number | undefined
  /** Whether to include content cached from upstreams. */
  withCache?: boolean | undefined
  signal?: AbortSignal | undefined
  /** Called with the number of blobs that are copied. */
  progress?: ((done: number, total: number) => void) | undefined
}

export interface BackedUp {
  snapshot: NamedSnapshot
  /** The blobs that this backup added, and their bytes. */
  copied: number
  copiedBytes: number
  /** The snapshots that `keep` removed. */
  removed: string[]
}

/**
 * Makes a snapshot of a data folder in a backup folder, while a server uses the data folder. Blobs that the backup
 * folder has are not copied again. Garbage collection is locked out meanwhile.
 *
 * @throws Error that says what cannot be written. Copied blobs stay for the next attempt.
 */
export async function backUp(options: BackupOptions): Promise<BackedUp> {
  const { data, metadata, target, at } = options
  if (!existsSync(join(metadata, 'cay.db'))) throw new Error(`${metadata} has no database of cay`)
  for (const folder of [data, metadata]) requireOther(target, folder)
  const unlock = openBackupFolder(target)
  try {
    await removeUnfinished(target)
    const name = await freeName(target, at)
    const folder = unfinishedFolder(target, name)
    await mkdir(folder, { mode: 0o700 })
    const release = lockRemovals(data)
    const copies = new DurableCopies()
    try {
      const database = join(folder, 'cay.db')
      copyDatabase(join(metadata, 'cay.db'), database)
      if (!options.withCache) dropCachedContent(database, at)
      await syncPath(database)
      await copySideFiles(data, folder, copies)
      using snapshot = openSnapshot(database)
      const { missing, missingCount, ...added } = await copyBlobs(snapshot, options, copies)
      const info = {
        version,
        schema: snapshot.schema,
        at: new Date(at).toISOString(),
        databaseSha256: await hashFile(database, 'sha256'),
        withCache: options.withCache ?? false,
        ...snapshot.counts(),
        missing,
        missingCount,
      }
      await copies.sync()
      await writeDurably(join(folder, DESCRIPTION), describeSnapshot(info), 0o600)
      const final = join(snapshotsFolder(target), name)
      await rename(folder, final)
      await syncPath(snapshotsFolder(target))
      const removed = options.keep === undefined ? [] : await removeOld(target, options.keep)
      return { snapshot: { name, folder: final, info: { format: 1, ...info } }, ...added, removed }
    } finally {
      release()
    }
  } finally {
    unlock()
  }
}

/** Throws an Error when the backup folder is a folder of the installation, whose blobs `keep` would remove. */
function requireOther(target: string, folder: string): void {
  if (existsSync(target) && realpathSync(target) === realpathSync(folder))
    throw new Error(`${target} is the folder that is backed up: choose another one for the backup`)
}

/** Returns the name of the new snapshot: two in one second get different names. */
async function freeName(target: string, at: number): Promise<string> {
  const taken = new Set(await readdir(snapshotsFolder(target)))
  const name = snapshotName(at)
  for (let n = 2; ; n++) {
    const free = n === 2 ? name : `${name}-${n - 1}`
    if (!taken.has(free)) return free
  }
}

async function copySideFiles(data: string, folder: string, copies: DurableCopies): Promise<void> {
  for (const name of SIDE_FILES) await copies.copyBytes(join(data, name), join(folder, name))
  if (!existsSync(join(data, SIDE_FOLDER))) return
  for (const name of await readdir(join(data, SIDE_FOLDER))) {
    await copies.copyBytes(join(data, SIDE_FOLDER, name), join(folder, SIDE_FOLDER, name))
  }
}

async function copyBlobs(
  snapshot: Snapshot,
  { data, target, signal, progress }: BackupOptions,
  copies: DurableCopies,
) {
  const found = { copied: 0, copiedBytes: 0, missing: [] as Digest[], missingCount: 0 }
  const { blobs } = snapshot.counts()
  const copy = async ({ digest, size }: { digest: Digest; size: number }) => {
    const [from, to] = [blobPlace(data, digest).file, blobPlace(target, digest).file]
    if ((await sizeOf(to)) === size) return
    // A blob that the disk cannot read must not stop the backup of the others.
    const copyReadable = () =>
      copies.copy(from, to).catch(async (error) => {
        if (await isIntact(from, digest, size)) throw error
        return false
      })
    if ((await sizeOf(from)) === size && (await copyReadable())) {
      found.copied++
      found.copiedBytes += size
      return
    }
    if (found.missing.length < MISSING_MAX) found.missing.push(digest)
    found.missingCount++
  }
  for (let after = 0, done = 0; ; ) {
    signal?.throwIfAborted()
    const batch = snapshot.files(after, BATCH)
    await Promise.all(batch.map(copy))
    done += batch.length
    progress?.(done, blobs)
    const last = batch.at(-1)
    if (last === undefined) return found
    after = last.id
  }
}

/** Removes all but the newest snapshots, and the blobs that no other snapshot needs. */
async function removeOld(target: string, keep: number): Promise<string[]> {
  const all = await snapshotNames(target)
  const old = all.slice(0, Math.max(0, all.length - keep))
  if (old.length === 0) return []
  // An interrupted removal must not leave a part that looks complete.
  for (const name of old) await rename(join(snapshotsFolder(target), name), unfinishedFolder(target, name))
  await syncPath(snapshotsFolder(target))
  await removeUnfinished(target)
  const kept = all
    .slice(old.length)
    .map((name) => openSnapshot(join(snapshotsFolder(target), name, 'cay.db')))
  try {
    for await (const { digest, file } of blobFiles(target)) {
      if (digest === undefined || !kept.some((snapshot) => snapshot.hasFile(digest))) await rm(file)
    }
  } finally {
    for (const snapshot of kept) snapshot[Symbol.dispose]()
  }
  return old
}

/** Yields the files of blobs, and files without a digest: partial copies and damaged blobs. */
async function* blobFiles(target: string): AsyncIterable<{ digest: Digest | undefined; file: string }> {
  const root = blobsFolder(target)
  for (const algorithm of await readdir(root)) {
    for (const prefix of await readdir(join(root, algorithm))) {
      const folder = join(root, algorithm, prefix)
      for (const hex of await readdir(folder)) {
        const known = tryParseAlgorithm(algorithm)
        yield { digest: known && tryParseDigest(digestFromHex(known, hex)), file: join(folder, hex) }
      }
    }
  }
}
