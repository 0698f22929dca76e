import type { Logger } from 'pino'
import type { Metadata } from '../database/metadata.ts'
import { registryError } from '../oci/error.ts'
import type { PushActivity } from '../registry/registry.ts'
import type { GarbageWindow, StoredBlob } from '../registry/store.ts'
import type { BlobStat, BlobStore } from '../storage/blob-store.ts'
import type { DigestLocks } from '../storage/digest-locks.ts'

/** How many files or rows are examined before the scan pauses. */
const STEP_MAX = 100
/** How long the scan pauses, so that other work comes first. */
const REST_MS = 5

/** The result of a scan of all files and rows. */
export interface Scanned {
  /** The files of blobs, those that no row needs, and the old ones among them that were removed, with their bytes. */
  files: number
  orphans: number
  removed: number
  bytes: number
  /** The blobs, and those whose bytes are missing or have the wrong size. These are logged and kept. */
  blobs: number
  missing: number
  damaged: number
}

export interface ScanRun {
  signal?: AbortSignal | undefined
  /** Called with the number of files and blobs examined. */
  progress?: ((done: number, total?: number) => void) | undefined
  /** Whether to remove more than a tenth of all files. By default that means that the database is the wrong one. */
  removeMany?: boolean | undefined
}

/** When files that a crash may have left behind were written, in milliseconds since 1970. */
export interface CrashWindow {
  since: number
  until: number
}

/** The share of all files that may be removed, unless `removeMany` is set. */
const REMOVED_SHARE_MAX = 0.1
/** How many files without rows a crash can leave. If there are more, the crash is not the cause. */
const LEFT_BY_CRASH_MAX = 100

/**
 * Compares the files on disk with the database, slowly and with little memory.
 *
 * @throws RegistryError CONFLICT, before removing anything, when more than a tenth of the files would be removed
 */
export async function scan(options: CollectorOptions, waitMs: () => number, run: ScanRun): Promise<Scanned> {
  const found: Scanned = { files: 0, orphans: 0, removed: 0, bytes: 0, blobs: 0, missing: 0, damaged: 0 }
  const total = (await options.metadata.storage.totals()).blobs * 2
  const rest = () => {
    run.progress?.(found.files + found.blobs, total)
    return restOf(run.signal)
  }
  const files = { count: 0, unknown: 0 }
  for await (const file of walkFiles(options, found, rest)) {
    if (!isOld(file, options) || waitMs() > 0) continue
    files.count++
    if (!options.metadata.blobs.isStored(file.digest)) files.unknown++
  }
  if (files.unknown > found.files * REMOVED_SHARE_MAX && !run.removeMany)
    throw registryError(
      'CONFLICT',
      `${files.unknown} of ${found.files} blob files are not in the database, more than a tenth: nothing was removed, ` +
        'because this may be the wrong database, for example an old backup; if it is the right one, run cay job ' +
        'start scan --remove-many',
    )
  if (files.count > 0) {
    for await (const file of walkFiles(options, { files: 0, orphans: 0 }, () => restOf(run.signal))) {
      if (isOld(file, options) && waitMs() === 0) await remove(file, options, found)
    }
  }
  await walkRows(options, found, rest)
  run.progress?.(found.files + found.blobs)
  return found
}

/** Removes the files that a crash left behind and no row names. Returns their number. */
export async function removeLeftBehind(
  options: CollectorOptions,
  { since, until }: CrashWindow,
  signal: AbortSignal,
): Promise<number> {
  const found = { files: 0, orphans: 0, removed: 0, bytes: 0 }
  for await (const file of walkFiles(options, found, () => restOf(signal))) {
    if (file.changedAt < since || file.changedAt > until || !isOld(file, options)) continue
    await remove(file, options, found)
    if (found.removed === LEFT_BY_CRASH_MAX) break
  }
  return found.removed
}

type BlobFile = BlobStat & { changedAt: number }

/** Yields blob files that no row needs. Small blobs are in the database, but earlier versions stored them in files. */
async function* walkFiles(
  options: CollectorOptions,
  found: Pick<Scanned, 'files' | 'orphans'>,
  rest: () => Promise<void>,
): AsyncIterable<BlobFile> {
  for await (const file of options.blobs.list()) {
    if (++found.files % STEP_MAX === 0) await rest()
    if (isNeeded(file, options)) continue
    found.orphans++
    yield file
  }
}

function isNeeded({ digest }: BlobFile, { metadata }: CollectorOptions): boolean {
  return metadata.blobs.isStored(digest) && !metadata.blobBytes.has(digest)
}

function isOld({ changedAt }: BlobFile, { steady, garbageWindow }: CollectorOptions): boolean {
  return changedAt <= steady() - garbageWindow.graceMs
}

async function remove(
  file: BlobFile,
  options: CollectorOptions,
  found: Pick<Scanned, 'removed' | 'bytes'>,
): Promise<void> {
  const { digest, size } = file
  await options.locks.remove(digest, async () => {
    if (isNeeded(file, options)) return
    await options.blobs.delete(digest)
    found.removed++
    found.bytes += size
    options.log.info({ digest, size }, 'removed the file of a blob that no row needs')
  })
}

async function restOf(signal: AbortSignal | undefined): Promise<void> {
  signal?.throwIfAborted()
  await Bun.sleep(REST_MS)
  signal?.throwIfAborted()
}

async function walkRows(
  { metadata, blobs, log }: CollectorOptions,
  found: Scanned,
  rest: () => Promise<void>,
): Promise<void> {
  const check = async ({ digest, size, bytesHere }: StoredBlob) => {
    const stored = bytesHere ?? (await blobs.stat(digest))?.size
    if (stored === size || !metadata.blobs.isStored(digest)) return
    if (stored === undefined) found.missing++
    else found.damaged++
    log.error(
      { digest, size, sizeOnDisk: stored },
      stored === undefined
        ? 'the bytes of a blob are missing: push it again, or restore a backup'
        : 'the bytes of a blob have the wrong size: push it again, or restore a backup',
    )
  }
  for (let after = 0; ; ) {
    const page = metadata.blobs.stored(after, STEP_MAX)
    for (const row of page) await check(row)
    found.blobs += page.length
    const last = page.at(-1)
    if (last === undefined || page.length < STEP_MAX) return
    after = last.id
    await rest()
  }
}

/** What the collector and the scan of files need. */
export interface CollectorOptions {
  metadata: Metadata
  blobs: BlobStore
  locks: DigestLocks
  log: Logger
  /** The clock for recorded times, in milliseconds since 1970. */
  now: () => number
  /** The clock for deletions, in milliseconds since 1970. */
  steady: () => number
  /** Milliseconds since an arbitrary time. */
  monotonic: () => number
  garbageWindow: GarbageWindow
  /** When pushes last touched each repository. */
  activity: PushActivity
  /** What an earlier process had left of the startup grace, in milliseconds; undefined if that is not known. */
  startupWaitMs?: number | undefined
  /** Locks out backups for one batch of removals. Returns how to unlock, or undefined while a backup is running. */
  lockForRemoval: () => (() => void) | undefined
}
