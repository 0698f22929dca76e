import type { Logger } from 'pino'
import type { Caller, Principal, Write } from '../access/access.ts'
import { readRemovalRecord, writeRemovalRecord } from '../data-folder/data-folder.ts'
import { lockForRemoval } from '../database/database.ts'
import { formatCursor, type ListPage, PAGE_DEFAULT, type PageQuery, parseCursor } from '../http/list-page.ts'
import type { JobWork } from '../jobs/jobs.ts'
import { registryError } from '../oci/error.ts'
import type { Digest, RepositoryName } from '../oci/reference.ts'
import { type RequireLocal, unknownRepository } from '../registry/registry.ts'
import { type Clocks, oneAtATime, turn } from '../runtime/clock.ts'
import type { Candidate, GarbageCursor } from './candidates.ts'
import type { CollectionBatch } from './collection.ts'
import type { Explanation } from './explanation.ts'
import {
  type CollectorOptions,
  type CrashWindow,
  removeLeftBehind,
  type Scanned,
  type ScanRun,
  scan,
} from './scan.ts'
import type { PurgeBatch, PurgeTarget } from './store.ts'

/*
 * Garbage collection permanently deletes content that nothing needs any more. The database marks garbage with each
 * change, so a run costs as much as the garbage. What an in-progress push may reference is kept for a grace period, also
 * after a restart, and what was deleted can be restored during the undo window. Rows are removed before bytes, so that a
 * crash leaves files without rows, which a scan finds. The marks are columns of the tables of content; the clock for
 * deletions is a file of the data folder.
 */

declare module '../http/controller.ts' {
  interface ApiServices {
    garbage: Collector
    purges: ReturnType<typeof purgeService>
  }
}

/** How many rows one call of the writer removes or changes at most. */
const BATCH_ROWS_MAX = 100

/** How many rows of a deleted repository one call removes at most. Its time limit may end it sooner. */
const REPOSITORY_ROWS_MAX = 5000

/** How many tag moves one call deletes at most, and how many calls one run makes. The next run continues. */
const HISTORY_ROWS_MAX = 500
const HISTORY_BATCHES_MAX = 100

/** How many candidates are read before other requests get a turn. */
const SLICE_MAX = 5

/** How many candidates the totals count at most. */
const COUNTED_MAX = 10_000

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

/** What the collector would remove, now and later. `bytes` is a lower bound unless `isComplete`. */
export interface GarbageTotals extends Collected {
  /** Whether all candidates were counted. At most 10,000 are. */
  isComplete: boolean
}

/** Deletes garbage in small batches, and reports what it would delete and why it keeps the rest. */
export class Collector {
  private readonly options: CollectorOptions
  /** The end of the startup grace, by the monotonic clock. */
  private readonly graceEnd: number
  private lastRun: Run | undefined
  private running = 0
  private readonly stopping = new AbortController()
  private readonly inTurn = oneAtATime()
  private scans: Promise<unknown> = Promise.resolve()

  constructor(options: CollectorOptions) {
    const { garbageWindow, monotonic, startupWaitMs = garbageWindow.graceMs } = options
    this.options = options
    this.graceEnd = monotonic() + Math.min(garbageWindow.graceMs, startupWaitMs)
  }

  /**
   * Returns what is left of the startup grace, in milliseconds. Nothing is deleted during it, because pushes that began
   * before the restart may still reference what looks like garbage.
   */
  startupWait(): number {
    return Math.max(0, this.graceEnd - this.options.monotonic())
  }

  /** Nothing is deleted before `waitingUntil`, the end of the startup grace, in milliseconds since 1970. */
  state() {
    const remainingMs = this.startupWait()
    return {
      waitingUntil: remainingMs > 0 ? this.options.now() + Math.ceil(remainingMs) : undefined,
      isRunning: this.running > 0,
      lastRun: this.lastRun,
      garbageWindow: this.options.garbageWindow,
    }
  }

  /** Collects everything that is collectable now. Runs are serialized. */
  async run(signal?: AbortSignal, onProgress?: (collected: Collected) => void): Promise<Run> {
    this.running++
    try {
      return await this.inTurn(() => this.collect(signal, onProgress))
    } finally {
      this.running--
    }
  }

  /**
   * Ends the undo window of deleted and untagged content. `run` then collects it, except what a push in progress may
   * reference. Waits for runs, so that the marks are corrected before a run uses them.
   */
  purge(caller: Caller, target: PurgeTarget): Promise<Purged> {
    return this.inTurn(() => endWindows(this.options, caller, target, this.stopping.signal))
  }

  /**
   * Scans all files and all blobs. Deletes files older than the grace period that no row names, and logs missing
   * bytes. This takes long. Rejects when cancelled.
   */
  async scan(run: ScanRun = {}): Promise<Scanned> {
    const signal = run.signal ? AbortSignal.any([run.signal, this.stopping.signal]) : this.stopping.signal
    const scanning = scan(this.options, () => this.startupWait(), { ...run, signal })
    this.scans = Promise.allSettled([this.scans, scanning])
    return await scanning
  }

  /** Removes the files that a crash left behind. Returns their number; undefined during the startup grace. */
  async removeLeftBehind(window: CrashWindow): Promise<number | undefined> {
    if (this.startupWait() > 0) return undefined
    const removing = removeLeftBehind(this.options, window, this.stopping.signal)
    this.scans = Promise.allSettled([this.scans, removing])
    return await removing
  }

  /** Stops the current run after its batch. Nothing is collected afterwards. */
  async stop(): Promise<void> {
    this.stopping.abort()
    await Promise.all([this.inTurn(async () => {}), this.scans])
  }

  /** Lists what would be deleted. A page may be short or empty and still have a next. Throws REQUEST_INVALID. */
  async candidates({ cursor, limit = PAGE_DEFAULT }: PageQuery): Promise<ListPage<Candidate>> {
    const { metadata, garbageWindow } = this.options
    const items: Candidate[] = []
    const [source = 0, ...after] = parseCursor(cursor, 0, 0, 0, 0)
    let at: GarbageCursor | undefined = { source, after: after as GarbageCursor['after'] }
    let slices = 0
    do {
      if (slices++ > 0) await turn()
      const page = await metadata.garbage.page(at, garbageWindow, Math.min(SLICE_MAX, limit - items.length))
      items.push(...page.items)
      at = page.next
    } while (at !== undefined && items.length < limit && slices * SLICE_MAX <= limit)
    return at === undefined ? { items } : { items, next: formatCursor(at.source, ...at.after) }
  }

  /** Counts the candidates of a kind. */
  async totals(isCounted: (candidate: Candidate) => boolean = () => true): Promise<GarbageTotals> {
    const counts = { tag: 0, manifest: 0, repository: 0, blob: 0 }
    let [bytes, counted] = [0, 0]
    let cursor: string | undefined
    do {
      const page: ListPage<Candidate> = await this.candidates({ cursor, limit: SLICE_MAX })
      for (const candidate of page.items.filter(isCounted)) {
        counts[candidate.kind]++
        bytes += candidate.bytes
      }
      counted += page.items.length
      cursor = page.next
      await turn()
    } while (cursor !== undefined && counted < COUNTED_MAX)
    const { tag: tags, manifest: manifests, repository: repositories, blob: blobs } = counts
    return { tags, manifests, repositories, blobs, bytes, isComplete: cursor === undefined }
  }

  /** Returns how many bytes would be deleted of each repository, as far as the first `limit` candidates tell. */
  async bytesByRepository(limit: number): Promise<Map<string, number>> {
    const bytes = new Map<string, number>()
    const { items } = await this.candidates({ limit })
    for (const { repository, bytes: own } of items) bytes.set(repository, (bytes.get(repository) ?? 0) + own)
    return bytes
  }

  /** Explains why a digest is kept, or when it is deleted, in one repository or in each that has it. */
  explain(digest: Digest, repository?: RepositoryName): Promise<Explanation[]> {
    return this.options.metadata.explain(digest, repository, this.options.garbageWindow)
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
        else if (this.startupWait() > 0) stopped = 'waiting'
        if (stopped !== undefined) break
        const unlock = this.options.lockForRemoval()
        if (unlock === undefined) {
          stopped = 'backup'
          break
        }
        const batch = await this.removing(step).finally(unlock)
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
  private steps(): (() => Promise<CollectionBatch>)[] {
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
      () => metadata.write('collectRepositories', { ...call(), limit: REPOSITORY_ROWS_MAX }),
      () => metadata.write('collectBlobs', call()),
      async () => {
        const batch = await metadata.write('trimHistory', { ...call(), limit: HISTORY_ROWS_MAX })
        return { ...batch, more: batch.more && ++trims < HISTORY_BATCHES_MAX }
      },
      () => metadata.write('releasePages', {}),
    ]
  }

  /** Removes the bytes of rows whose deletion is durable, unless a push has linked them in the meantime. */
  private async removing(step: () => Promise<CollectionBatch>): Promise<CollectionBatch> {
    const { metadata, blobs, locks, log } = this.options
    const batch = await step()
    const remove = async ({ digest }: { digest: Digest }) => {
      try {
        await locks.remove(digest, async () => {
          if (!metadata.blobs.isStored(digest)) await blobs.delete(digest)
        })
      } catch (cause) {
        log.error({ digest, cause }, 'cannot remove the bytes of a blob: the next scan will retry')
      }
    }
    await Promise.all(batch.blobs.map(remove))
    return batch
  }
}

function add(collected: Collected, { tags, manifests, repositories, blobs, bytes }: CollectionBatch): void {
  collected.tags += tags
  collected.manifests += manifests
  collected.repositories += repositories
  collected.blobs += blobs.length
  collected.bytes += blobs.reduce((sum, { size }) => sum + size, bytes)
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
  { metadata, now, steady, garbageWindow, activity }: CollectorOptions,
  caller: Caller,
  { repository, digest }: PurgeTarget,
  signal: AbortSignal,
): Promise<Purged> {
  const purged = { repositories: 0, manifests: 0 }
  const write = async (name: 'expireWindows' | 'purgeManifests'): Promise<PurgeBatch> => {
    const pushedAt = activity.last(repository)
    const call = { caller, repository, digest, at: now(), until: steady(), garbageWindow, pushedAt }
    const batch = await metadata.write(name, { ...call, limit: BATCH_ROWS_MAX })
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

/** What a purge would delete. */
export interface Purgeable extends Pick<GarbageTotals, 'repositories' | 'manifests' | 'isComplete'> {
  /**
   * Bytes that become free. For server admins only: anyone who can push could otherwise find out whether another
   * repository has the same content.
   */
  bytes: number | undefined
}

/** Ends the undo window of deleted content, and of manifests that lost their last tag, to free space at once. */
export function purgeService({
  metadata,
  collector,
  requireLocal,
}: Pick<CollectorOptions, 'metadata'> & { collector: Collector; requireLocal: RequireLocal }) {
  /** Reports whether a deleted repository has not been purged yet, and whether a manifest does not belong to one. */
  const isKept = ({ kind, repository, since }: Candidate): boolean =>
    kind === 'repository'
      ? since > 0
      : kind === 'manifest' && metadata.repositories.find(repository) !== undefined
  const count = async ({ repository, digest }: PurgeTarget): Promise<GarbageTotals> => {
    if (repository) requireLocal(repository, 'its deleted content is evicted immediately')
    const totals = await collector.totals(
      (candidate) =>
        (candidate.why === 'deleted' || candidate.why === 'unreferenced') &&
        isKept(candidate) &&
        (repository === undefined || candidate.repository === repository) &&
        (digest === undefined || candidate.digest === digest),
    )
    const isEmpty = totals.isComplete && totals.manifests + totals.repositories === 0
    if (!isEmpty || repository === undefined) return totals
    if (digest !== undefined) {
      const what = `${repository} has no deleted or untagged manifest ${digest}: delete it first`
      throw registryError('MANIFEST_UNKNOWN', what, { detail: { digest } })
    }
    if (metadata.repositories.find(repository) === undefined) throw unknownRepository(repository)
    return totals
  }
  return {
    /** Counts what a purge would delete. Throws NAME_UNKNOWN or MANIFEST_UNKNOWN. */
    async preview(principal: Principal, target: PurgeTarget): Promise<Purgeable> {
      const totals = await count(target)
      return { ...totals, bytes: principal.isAdmin ? totals.bytes : undefined }
    },

    /**
     * Purges, and starts a run of the collector, which frees the space. Nothing that a push in progress may refer to is
     * deleted. Throws NAME_UNKNOWN or MANIFEST_UNKNOWN.
     */
    async purge({ caller }: Write, target: PurgeTarget): Promise<Purged> {
      await count(target)
      const purged = await collector.purge(caller, target)
      const { waitingUntil } = collector.state()
      // The collector's run reports and logs itself, and the regular runs retry what fails.
      collector.run().catch(() => {})
      const heldUntil = Math.max(purged.heldUntil ?? 0, waitingUntil ?? 0)
      return { ...purged, heldUntil: heldUntil === 0 ? undefined : heldUntil }
    },
  }
}

/** Returns a garbage collection as the work of a job. */
export function collectJob(collector: Collector): JobWork {
  return async ({ signal, progress }) => {
    const { startedAt, endedAt, stopped, ...collected } = await collector.run(signal, (so) =>
      progress(so.tags + so.manifests + so.repositories + so.blobs),
    )
    if (stopped === 'cancelled') signal.throwIfAborted()
    return collected
  }
}

/** Returns a scan of all files and blobs as the work of a job. */
export function scanJob(collector: Collector): JobWork {
  return async ({ options, ...run }) => ({ ...(await collector.scan({ ...run, ...options })) })
}

/** Opens the clock for deletions of a data folder, which is kept over restarts. */
export function openRemovalClock(data: string, clocks: Clocks, graceMs: number, log: Logger) {
  const record = readRemovalRecord(data)
  const clock = clocks.keptSteady(graceMs, record)
  const inTurn = oneAtATime()
  return {
    /** Milliseconds since 1970. */
    steady: clock.read,

    /** What an earlier server had left of the startup grace, in milliseconds; undefined if that is not known. */
    startupWaitMs: record?.waitMs,

    /** Returns the lock for one batch of removals, or undefined while a backup is running. */
    lockForRemoval: () => lockForRemoval(data),

    /** Records the clock, and what is left of the startup grace. Logs errors: without a record, content is kept longer. */
    keep: (waitMs: number): Promise<void> =>
      inTurn(async () => {
        try {
          await writeRemovalRecord(data, { ...clock.keep(), waitMs })
        } catch (cause) {
          log.error({ cause }, 'cannot record the clock of garbage collection')
        }
      }),
  }
}
