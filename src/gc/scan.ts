import type { StoredBlob } from '../metadata/content/blobs.ts'
import type { Digest } from '../oci/digest.ts'
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
}

/** Compares what is on the disk with what the database says, slowly, and with little memory. */
export async function scan(options: CollectorOptions, waitMs: () => number, run: ScanRun): Promise<Scanned> {
  const found: Scanned = { files: 0, orphans: 0, removed: 0, bytes: 0, blobs: 0, missing: 0, damaged: 0 }
  const total = options.metadata.storage.totals().blobs * 2
  const rest = async () => {
    run.progress?.(found.files + found.blobs, total)
    run.signal?.throwIfAborted()
    await Bun.sleep(REST_MS)
    run.signal?.throwIfAborted()
  }
  await walkFiles(options, waitMs, found, rest)
  await walkRows(options, found, rest)
  run.progress?.(found.files + found.blobs)
  return found
}

async function walkFiles(
  { metadata, blobs, locks, log, steady, retention }: CollectorOptions,
  waitMs: () => number,
  found: Scanned,
  rest: () => Promise<void>,
): Promise<void> {
  // The bytes of a small blob are in the database; an older cay had a file of it.
  const isNeeded = (digest: Digest) => metadata.blobs.isStored(digest) && !metadata.blobBytes.has(digest)
  for await (const { digest, size, changedAt } of blobs.list()) {
    if (++found.files % STEP_MAX === 0) await rest()
    if (isNeeded(digest)) continue
    found.orphans++
    if (changedAt > steady() - retention.graceMs || waitMs() > 0) continue
    await locks.remove(digest, async () => {
      if (isNeeded(digest)) return
      await blobs.delete(digest)
      found.removed++
      found.bytes += size
      log.info({ digest, size }, 'removed the file of a blob that nothing needs')
    })
  }
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
