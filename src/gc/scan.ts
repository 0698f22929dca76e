import type { StoredBlob } from '../metadata/content/blobs.ts'
import { type RegistryError, registryError } from '../oci/error.ts'
import type { BlobStat } from '../storage/blob-store.ts'
import type { CollectorOptions } from './collector-options.ts'

/** Files or rows that are looked at before the walk rests, */
const STEP_MAX = 100
/** for so long: other work goes first. */
const REST_MS = 5

/** What a walk over all files and all rows has found. */
export interface Scanned {
  /** Files of blobs, and those of them that no row needs: old ones are removed, with so many bytes. */
  files: number
  orphans: number
  removed: number
  bytes: number
  /** Blobs, and those of them whose bytes are missing, or of another size. They are in the log, and stay. */
  blobs: number
  missing: number
  damaged: number
}

export interface ScanRun {
  signal?: AbortSignal | undefined
  /** Told of the files and blobs that were looked at. */
  progress?: ((done: number, total?: number) => void) | undefined
  /** Whether to remove files also when they are more than a tenth of all: else the database is taken for the wrong one. */
  removeMany?: boolean | undefined
}

/** When the files were written that a crash may have left; milliseconds since 1970. */
export interface CrashWindow {
  since: number
  until: number
}

/** The share of all files that is removed at most, unless somebody has allowed more. */
const REMOVED_SHARE_MAX = 0.1
/** Files that a crash can leave between their bytes and their rows: more are not taken for its doing. */
const LEFT_BY_CRASH_MAX = 100

/**
 * Compares what is on the disk with what the database says, slowly, and with little memory.
 *
 * @throws RegistryError CONFLICT, before anything was removed, when that would be more than a tenth of the files
 */
export async function scan(options: CollectorOptions, waitMs: () => number, run: ScanRun): Promise<Scanned> {
  const found: Scanned = { files: 0, orphans: 0, removed: 0, bytes: 0, blobs: 0, missing: 0, damaged: 0 }
  const total = (await options.metadata.storage.totals()).blobs * 2
  const rest = () => restOf(run.signal, () => run.progress?.(found.files + found.blobs, total))
  const files = { count: 0, unknown: 0 }
  for await (const file of walkFiles(options, found, rest)) {
    if (!isOld(file, options) || waitMs() > 0) continue
    files.count++
    if (!options.metadata.blobs.isStored(file.digest)) files.unknown++
  }
  if (files.unknown > found.files * REMOVED_SHARE_MAX && !run.removeMany)
    throw tooMany(files.unknown, found.files)
  if (files.count > 0) {
    for await (const file of walkFiles(options, { files: 0, orphans: 0 }, () => restOf(run.signal))) {
      if (isOld(file, options) && waitMs() === 0) await remove(file, options, found)
    }
  }
  await walkRows(options, found, rest)
  run.progress?.(found.files + found.blobs)
  return found
}

/** Removes the files that a crash has left, which no row names. Answers how many. */
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

/** The files of blobs that no row needs. The bytes of a small blob are in the database; an older cay had a file of it. */
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

function isOld({ changedAt }: BlobFile, { steady, retention }: CollectorOptions): boolean {
  return changedAt <= steady() - retention.graceMs
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
    options.log.info({ digest, size }, 'removed the file of a blob that nothing needs')
  })
}

async function restOf(signal: AbortSignal | undefined, tell?: () => void): Promise<void> {
  tell?.()
  signal?.throwIfAborted()
  await Bun.sleep(REST_MS)
  signal?.throwIfAborted()
}

function tooMany(unknown: number, files: number): RegistryError {
  return registryError(
    'CONFLICT',
    `${unknown} of ${files} files of blobs are not in the database, more than a tenth: it may be the wrong one, for ` +
      'example a backup from before they were pushed, so nothing was removed; if it is the right one, allow their ' +
      'removal with cay job start scan --remove-many',
  )
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
        : 'the bytes of a blob have another size than they had: push it again, or restore a backup',
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
