import type { Digest } from '../oci/digest.ts'
import type { RepositoryName } from '../oci/reference.ts'
import type { CommittedBlob, FillStore, Upload } from '../storage/blob-store.ts'
import type { DigestLocks } from '../storage/digest-locks.ts'
import { SharedReads } from '../storage/shared-reads.ts'
import { Fill, type FillContext, type FillOrder } from './fill.ts'
import { Pace, Places, takePlaces } from './pace.ts'
import { UpstreamError } from './upstream/failure.ts'
import type { Upstream } from './upstream/upstream.ts'

/** The memory that clients share for reading fills, in bytes. */
const SHARED_BYTES_MAX = 8 * 1024 * 1024
const CHUNK_BYTES = 256 * 1024

/** How many bytes are sent to all followers in one turn of the event loop. */
const BYTES_PER_TURN = 1024 * 1024

/** The maximum waiting fills for each running one. Fills outlive their clients, which could request any number. */
const WAITING_PER_PLACE = 16

export interface FillsOptions {
  store: FillStore
  locks: DigestLocks
  /** How many fills run at once. */
  fillsMax: number
  deadlineMs: number
  stallSecondsMax: number
  totalSecondsMax: number
  monotonic: () => number
  /** Links a blob with durable bytes into repositories. */
  link(repositories: RepositoryName[], blob: CommittedBlob): Promise<void>
  onDiskFull(bytes: number): Promise<void>
  onEnd(fill: Fill, failure: Error | undefined): void
  onReceived(upstream: string, bytes: number): void
  onResumed(): void
}

/** The fills in progress: one for each digest, shared by all clients. */
export class Fills {
  private readonly options: FillsOptions
  readonly places: Places
  private readonly running = new Map<Digest, Fill>()
  private readonly reads = new SharedReads(SHARED_BYTES_MAX, CHUNK_BYTES)
  private readonly stopping = new AbortController()
  private readonly endings = new WeakMap<Fill, AbortController>()
  readonly pace = new Pace(BYTES_PER_TURN)
  private count = 0

  constructor(options: FillsOptions) {
    this.options = options
    this.places = new Places(options.fillsMax)
  }

  find(digest: Digest): Fill | undefined {
    return this.running.get(digest)
  }

  /** Returns the upload that a fill would use, which an earlier one may have left. */
  uploadOf({ digest, upstream }: Pick<FillOrder, 'digest' | 'upstream'>): Upload {
    return this.options.store.of(digest, upstream.name)
  }

  list(): Fill[] {
    return [...this.running.values()]
  }

  /**
   * Starts the fill of a digest that has none.
   * @throws UpstreamError `unavailable` if too many are waiting
   */
  begin(order: FillOrder): Fill {
    if (this.running.size >= this.options.fillsMax * (1 + WAITING_PER_PLACE)) {
      throw new UpstreamError('unavailable', 'too many others are waiting to be fetched')
    }
    const ending = new AbortController()
    const signal = AbortSignal.any([this.stopping.signal, ending.signal])
    const fill = new Fill(order, String(++this.count), this.context(signal))
    this.endings.set(fill, ending)
    this.running.set(order.digest, fill)
    return fill
  }

  /** Continues the fills of an upstream with the one that replaces it. */
  move(from: Upstream, to: Upstream): void {
    for (const fill of this.of(from)) fill.order.upstream = to
  }

  /** Ends the fills of a removed upstream. Their bytes stay. */
  end(upstream: Upstream): void {
    const reason = new UpstreamError('absent', `the upstream ${upstream.name} was removed`)
    for (const fill of this.of(upstream)) this.endings.get(fill)?.abort(reason)
  }

  /** Waits. Rejects when the server stops. */
  pause(milliseconds: number): Promise<void> {
    return pause(milliseconds, this.stopping.signal)
  }

  private of(upstream: Upstream): Fill[] {
    return this.list().filter(({ order }) => order.upstream === upstream)
  }

  /** Ends all fills. Their bytes stay. */
  async stop(): Promise<void> {
    this.stopping.abort(new Error('the server is stopping'))
    await Promise.allSettled(this.list().map(({ ended }) => ended))
  }

  private context(signal: AbortSignal): FillContext {
    const { options, places, reads, pace } = this
    return {
      ...options,
      reads,
      pace,
      signal,
      takePlace: (upstream, until) => takePlaces(upstream.places, places, until),
      publish: (fill) => this.publish(fill),
      pause: (milliseconds) => pause(milliseconds, signal),
      onEnd: (fill, failure) => {
        if (this.running.get(fill.order.digest) === fill) this.running.delete(fill.order.digest)
        options.onEnd(fill, failure)
      },
    }
  }

  private async publish(fill: Fill): Promise<void> {
    const { store, locks, link } = this.options
    const { upload } = fill
    const { digest } = fill.order
    let deletion: Promise<void> | undefined
    await locks.push(digest, async () => {
      const blob = await store.commit(upload, digest, { stream: null, length: 0 })
      let linked = 0
      // Other clients may join while the first repositories are being linked.
      while (linked < fill.repositories.size) {
        const repositories = [...fill.repositories]
        await link(repositories.slice(linked), blob)
        linked = repositories.length
      }
      // Begun first, so that the next fill of this blob waits for it.
      deletion = store.cancel(upload)
      this.running.delete(digest)
    })
    await deletion
  }
}

/** Waits. Rejects when the signal is aborted. */
function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const abort = () => reject(signal.reason)
  const timer = setTimeout(resolve, milliseconds)
  signal.addEventListener('abort', abort)
  if (signal.aborted) abort()
  return promise.finally(() => {
    clearTimeout(timer)
    signal.removeEventListener('abort', abort)
  })
}
