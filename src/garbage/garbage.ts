import type { Logger } from 'pino'
import type { Write } from '../access/access.ts'
import { readRemovalRecord, writeRemovalRecord } from '../data-folder/data-folder.ts'
import { lockForRemoval } from '../database/database.ts'
import type { Clocks } from '../runtime/clock.ts'
import type { BlobBatch, CollectionBatch } from './collection.ts'
import type { PurgeBatch, PurgeTarget } from './purge.ts'
import {
  type CollectorOptions,
  type CrashWindow,
  removeLeftBehind,
  type Scanned,
  type ScanRun,
  scan,
} from './scan.ts'

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

/**
 * Returns a function that gives the remaining milliseconds of the startup grace. Nothing is deleted during it, because
 * pushes that began before the restart may still reference what looks like garbage.
 *
 * @param monotonic milliseconds since an arbitrary time
 * @param keptMs what an earlier process had left of it
 */
function firstGrace(graceMs: number, monotonic: () => number, keptMs = graceMs): () => number {
  const end = monotonic() + Math.min(graceMs, keptMs)
  return () => Math.max(0, end - monotonic())
}

/** How many rows one call of the writer changes at most. */
const PURGED_ROWS_MAX = 100

interface Purge extends PurgeTarget {
  act: Pick<Write, 'caller'>
}

/** What a purge has deleted permanently. */
export interface Purged {
  repositories: number
  manifests: number
  /** Set if pushes were recent: until then, the content of repositories that are not deleted may stay. */
  heldUntil: number | undefined
}

/**
 * Ends the undo window. Content that loses its last reference is dated by the last push, so it is collected
 * immediately, or one grace period after that push. During a write, a client that can push may learn that content
 * exists without leaving a mark. So the marks are corrected after each write, before the collector can see them.
 */
async function endWindows(
  options: CollectorOptions,
  { act, repository, digest }: Purge,
  signal: AbortSignal,
): Promise<Purged> {
  const { metadata, now, steady, garbageWindow, activity } = options
  const purged = { repositories: 0, manifests: 0 }
  const write = async (name: 'expireWindows' | 'purgeManifests'): Promise<PurgeBatch> => {
    const pushedAt = activity.last(repository)
    const call = { ...act, repository, digest, at: now(), until: steady(), garbageWindow, pushedAt }
    const batch = await metadata.write(name, { ...call, limit: PURGED_ROWS_MAX })
    const newerAt = activity.last(repository)
    if (newerAt > pushedAt)
      await metadata.write('postponePurged', { repository, garbageWindow, pushedAt, newerAt })
    return batch
  }
  const all = async (name: 'expireWindows' | 'purgeManifests'): Promise<number> => {
    let manifests = 0
    let more = true
    while (more && !signal.aborted) {
      const batch = await write(name)
      purged.repositories += batch.repositories
      manifests += batch.manifests
      more = batch.more && batch.manifests + batch.repositories + batch.tags > 0
    }
    return manifests
  }
  // Removing an index can remove the last reference to its entries.
  do {
    await all('expireWindows')
    const removed = await all('purgeManifests')
    purged.manifests += removed
    if (removed === 0) break
  } while (!signal.aborted)
  const heldUntil = activity.last(repository) + 2 * garbageWindow.graceMs
  return { ...purged, heldUntil: heldUntil - garbageWindow.graceMs > steady() ? heldUntil : undefined }
}

/** The clock for deletions of a data folder, which is kept over restarts. */
export interface RemovalClock {
  /** Milliseconds since 1970. */
  steady: () => number
  /** What an earlier server had left of the startup grace, in milliseconds; undefined if that is not known. */
  startupWaitMs: number | undefined
  /** Returns the lock for one batch of removals, or undefined while a backup is running. */
  lockForRemoval: () => ReturnType<typeof lockForRemoval>
  /** Records the clock, and what is left of the startup grace. Logs errors: without a record, content is kept longer. */
  keep(waitMs: number): Promise<void>
}

export function openRemovalClock(data: string, clocks: Clocks, graceMs: number, log: Logger): RemovalClock {
  const record = readRemovalRecord(data)
  const clock = clocks.keptSteady(graceMs, record)
  const write = async (waitMs: number) => {
    try {
      await writeRemovalRecord(data, { ...clock.keep(), waitMs })
    } catch (cause) {
      log.error({ cause }, 'cannot record the clock of garbage collection')
    }
  }
  let written = Promise.resolve()
  return {
    steady: clock.read,
    startupWaitMs: record?.waitMs,
    lockForRemoval: () => lockForRemoval(data),
    keep(waitMs) {
      written = written.then(() => write(waitMs))
      return written
    },
  }
}
