import type { BlobBatch } from '../metadata/garbage/blob-collection.ts'
import type { CollectionBatch } from '../metadata/garbage/collection.ts'
import type { CollectorOptions } from './collector-options.ts'
import { endWindows, type Purge, type Purged } from './purge.ts'
import { type CrashWindow, removeLeftBehind, type Scanned, type ScanRun, scan } from './scan.ts'
import { firstGrace } from './startup-grace.ts'

/** How many rows one call of the writer removes at most. */
const BATCH_ROWS_MAX = 100

/** How many rows of a deleted repository one call removes at most. Its time limit may end it sooner. */
const REPOSITORY_ROWS_MAX = 5000

/** How many tag moves one call deletes at most, and how many calls one run makes. The next run continues. */
const HISTORY_ROWS_MAX = 500
const HISTORY_BATCHES_MAX = 100

/** What a run removed. */
export interface Collected {
  /** Tags that expired or whose manifest was removed. */
  tags: number
  manifests: number
  repositories: number
  blobs: number
  /** Bytes of manifests and blobs. */
  bytes: number
}

export interface Run extends Collected {
  /** Milliseconds since 1970. */
  startedAt: number
  endedAt: number
  /** Why it stopped early: it was cancelled, the startup grace is not over, or a backup is running. */
  stopped?: 'cancelled' | 'waiting' | 'backup'
}

export interface CollectorState {
  /** The end of the startup grace, in milliseconds since 1970. Nothing is deleted before. */
  waitingUntil: number | undefined
  isRunning: boolean
  lastRun: Run | undefined
}

/**
 * Deletes garbage in small batches: rows first, then bytes. The database marks garbage with each change, so the cost is
 * proportional to the garbage.
 */
export class Collector {
  private readonly options: CollectorOptions
  private readonly waitMs: () => number
  private lastRun: Run | undefined
  private running = 0
  private readonly stopping = new AbortController()
  private turn: Promise<unknown> = Promise.resolve()
  private scans: Promise<unknown> = Promise.resolve()

  constructor(options: CollectorOptions) {
    this.options = options
    this.waitMs = firstGrace(options.garbageWindow.graceMs, options.monotonic, options.startupWaitMs)
  }

  /** Returns what is left of the startup grace, in milliseconds. */
  startupWait(): number {
    return this.waitMs()
  }

  state(): CollectorState {
    const remainingMs = this.waitMs()
    return {
      waitingUntil: remainingMs > 0 ? this.options.now() + Math.ceil(remainingMs) : undefined,
      isRunning: this.running > 0,
      lastRun: this.lastRun,
    }
  }

  /** Collects everything that is collectable now. Runs are serialized. */
  async run(signal?: AbortSignal, onProgress?: (collected: Collected) => void): Promise<Run> {
    this.running++
    const mine = this.turn.then(() => this.collect(signal, onProgress))
    this.turn = mine.catch(() => {})
    try {
      return await mine
    } finally {
      this.running--
    }
  }

  /**
   * Ends the undo window of deleted and untagged content. `run` then collects it, except what a push in progress may
   * reference. Waits for runs, so that the marks are corrected before a run uses them.
   */
  async purge(purge: Purge): Promise<Purged> {
    const mine = this.turn.then(() => endWindows(this.options, purge, this.stopping.signal))
    this.turn = mine.catch(() => {})
    return await mine
  }

  /**
   * Scans all files and all blobs. Deletes files older than the grace period that no row names, and logs missing
   * bytes. This takes long. Rejects when cancelled.
   */
  async scan(run: ScanRun = {}): Promise<Scanned> {
    const signal = run.signal ? AbortSignal.any([run.signal, this.stopping.signal]) : this.stopping.signal
    const scanning = scan(this.options, this.waitMs, { ...run, signal })
    this.scans = Promise.allSettled([this.scans, scanning])
    return await scanning
  }

  /**
   * Removes the files that a crash left behind. Returns their number, or undefined before the startup grace is over.
   */
  async removeLeftBehind(window: CrashWindow): Promise<number | undefined> {
    if (this.waitMs() > 0) return undefined
    const removing = removeLeftBehind(this.options, window, this.stopping.signal)
    this.scans = Promise.allSettled([this.scans, removing])
    return await removing
  }

  /** Stops the current run after its batch. Nothing is collected afterwards. */
  async stop(): Promise<void> {
    this.stopping.abort()
    await Promise.all([this.turn, this.scans])
  }

  private async collect(
    signal: AbortSignal | undefined,
    onProgress: ((collected: Collected) => void) | undefined,
  ): Promise<Run> {
    const { now, log } = this.options
    const startedAt = now()
    const collected: Collected = { tags: 0, manifests: 0, repositories: 0, blobs: 0, bytes: 0 }
    let stopped: Run['stopped']
    for (const step of this.steps()) {
      let more = true
      while (more) {
        if (signal?.aborted || this.stopping.signal.aborted) stopped = 'cancelled'
        else if (this.waitMs() > 0) stopped = 'waiting'
        if (stopped !== undefined) break
        const unlock = this.options.lockForRemoval()
        if (unlock === undefined) {
          stopped = 'backup'
          break
        }
        const batch = await step().finally(unlock)
        more = batch.more
        add(collected, batch)
        onProgress?.({ ...collected })
      }
    }
    this.lastRun = { ...collected, startedAt, endedAt: now(), ...(stopped && { stopped }) }
    if (Object.values(collected).some((count) => count > 0)) log.info(this.lastRun, 'collected garbage')
    return this.lastRun
  }

  /** Returns the steps in the order in which each can create garbage for the next. */
  private steps(): (() => Promise<Batch>)[] {
    const { metadata, now, steady, garbageWindow } = this.options
    const call = () => ({ at: now(), until: steady(), garbageWindow, limit: BATCH_ROWS_MAX })
    let after = 0
    let trims = 0
    return [
      () => metadata.write('collectTags', call()),
      () => metadata.write('collectManifests', call()),
      async () => {
        const batch = await metadata.write('collectUntagged', { ...call(), after })
        after = batch.after
        return batch
      },
      async () =>
        await this.removeBytes(
          await metadata.write('collectRepositories', { ...call(), limit: REPOSITORY_ROWS_MAX }),
        ),
      async () => await this.removeBytes(await metadata.write('collectBlobs', call())),
      async () => {
        const batch = await metadata.write('trimHistory', { ...call(), limit: HISTORY_ROWS_MAX })
        return { ...batch, more: batch.more && ++trims < HISTORY_BATCHES_MAX }
      },
      () => metadata.write('releasePages', {}),
    ]
  }

  /** Removes the bytes of rows whose deletion is durable, unless a push has linked them in the meantime. */
  private async removeBytes(batch: BlobBatch): Promise<Batch> {
    const { metadata, blobs, locks, log } = this.options
    const remove = async ({ digest }: BlobBatch['blobs'][number]) => {
      try {
        await locks.remove(digest, async () => {
          if (!metadata.blobs.isStored(digest)) await blobs.delete(digest)
        })
      } catch (cause) {
        log.error({ digest, cause }, 'cannot remove the bytes of a blob: the next scan will retry')
      }
    }
    await Promise.all(batch.blobs.map(remove))
    const bytes = batch.blobs.reduce((sum, { size }) => sum + size, batch.bytes)
    return { ...batch, blobs: batch.blobs.length, bytes }
  }
}

type Batch = CollectionBatch & { repositories?: number; blobs?: number }

function add(collected: Collected, batch: Batch): void {
  collected.tags += batch.tags
  collected.manifests += batch.manifests
  collected.repositories += batch.repositories ?? 0
  collected.blobs += batch.blobs ?? 0
  collected.bytes += batch.bytes
}
