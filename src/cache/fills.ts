import { isDiskFull, RegistryError } from '../oci/error.ts'
import type { ByteRange, Digest, RepositoryName } from '../oci/reference.ts'
import type { CommittedBlob, FedBody, FillStore, Upload } from '../storage/blob-store.ts'
import type { DigestLocks } from '../storage/digest-locks.ts'
import { SharedReads } from '../storage/shared-reads.ts'
import { FollowedFile } from './followed-file.ts'
import { Pace, Places, takePlaces } from './pace.ts'
import { Deadline, UpstreamError } from './upstream/answer.ts'
import type { FetchedBlob, Upstream } from './upstream/upstream.ts'

/** The memory that clients share for reading fills, in bytes. */
const SHARED_BYTES_MAX = 8 * 1024 * 1024
const CHUNK_BYTES = 256 * 1024

/** How many bytes are sent to all followers in one turn of the event loop. */
const BYTES_PER_TURN = 1024 * 1024

/** The maximum waiting fills for each running one. Fills outlive their clients, which could request any number. */
const WAITING_PER_PLACE = 16

interface FillsOptions {
  store: FillStore
  locks: DigestLocks
  /** How many fills run at once. */
  fillsMax: number
  /** How long the headers of a response may take. */
  deadlineMs: number
  /** How long a response may send nothing before it is aborted. */
  stallSecondsMax: number
  /** How long a fill may take in total. */
  totalSecondsMax: number
  /** Milliseconds since an arbitrary time. */
  monotonic: () => number
  /** Links a blob with durable bytes into repositories. */
  link(repositories: RepositoryName[], blob: CommittedBlob): Promise<void>
  /** Frees space after the disk was full. */
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

  /** Ends all fills. Their bytes stay. */
  async stop(): Promise<void> {
    this.stopping.abort(new Error('the server is stopping'))
    await Promise.allSettled(this.list().map(({ ended }) => ended))
  }

  private of(upstream: Upstream): Fill[] {
    return this.list().filter(({ order }) => order.upstream === upstream)
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

/** A fill that has received nothing for this long gives its place to another one. */
const PLACE_MILLISECONDS = 5000

/** What a fill fetches. */
export interface FillOrder {
  digest: Digest
  /** In bytes. */
  size: number
  upstream: Upstream
  repository: RepositoryName
}

export interface FillContext extends Omit<FillsOptions, 'locks' | 'fillsMax' | 'link'> {
  reads: SharedReads
  pace: Pace
  /** Aborted when the server stops, or the upstream is removed. */
  signal: AbortSignal
  /** Waits. Rejects when the signal is aborted. */
  pause(milliseconds: number): Promise<void>
  /** Takes a place among all fills and among the upstream's. Returns a function that gives it back. Rejects on abort. */
  takePlace(upstream: Upstream, signal: AbortSignal): Promise<() => void>
  /** Makes the verified bytes durable, links them into the repositories, and deletes the partial file. */
  publish(fill: Fill): Promise<void>
}

/**
 * The download of one blob, which all its clients share. It continues when clients disconnect, and resumes at the next
 * byte when the connection breaks. Clients read the growing file. Each gets the last byte of its body or range only
 * after the digest has been verified, so no client ever completes a wrong one.
 */
export class Fill {
  readonly order: FillOrder
  readonly id: string
  /** Its partial file. */
  readonly upload: Upload
  /** The repositories that requested the blob. It is linked into them when it is complete. */
  readonly repositories: Set<RepositoryName>
  /** Resolves when the blob is published. Rejects if the fill fails. */
  readonly ended: Promise<void>
  /** Resolves when the upstream has responded. Rejects if the fill fails before. */
  readonly begun: Promise<void>
  /** How many clients have joined. */
  followed = 0
  private readonly context: FillContext
  private readonly begin = Promise.withResolvers<void>()
  private hasBegun = false
  private readonly file: FollowedFile
  /** Whether the bytes came in more than one part, the first perhaps in an earlier process. */
  private isPieced = false
  /** Aborted when the server stops, or the fill has taken too long. */
  private readonly signal: AbortSignal
  private readonly total: Deadline
  private readonly endsAt: number
  /** When it last received bytes, or began. */
  private progressAt: number

  /** @param id unique in this process */
  constructor(order: FillOrder, id: string, context: FillContext) {
    this.order = order
    this.id = id
    this.context = context
    this.repositories = new Set([order.repository])
    const { store, reads, pace, totalSecondsMax, monotonic } = context
    this.upload = store.of(order.digest, order.upstream.name)
    const open = () => store.read(this.upload, order.digest)
    this.file = new FollowedFile({ id, open, reads, pace })
    this.progressAt = monotonic()
    this.endsAt = this.progressAt + totalSecondsMax * 1000
    this.total = new Deadline(totalSecondsMax * 1000, takenTooLong(order.upstream, totalSecondsMax))
    this.signal = AbortSignal.any([context.signal, this.total.signal])
    this.begun = this.begin.promise
    this.begun.catch(() => {})
    this.ended = this.run()
    this.ended.catch(() => {})
  }

  /** The received bytes. */
  get received(): number {
    return this.file.size
  }

  /** Waits until the first byte of a range may be sent. Rejects if the fill ends without it. */
  async reach({ start, end }: ByteRange): Promise<void> {
    await this.file.waitFor(start, end)
  }

  /** Returns a body that follows the fill. */
  follow(range: ByteRange): FedBody {
    return { feed: (sink) => this.file.feed(range, sink) }
  }

  private async run(): Promise<void> {
    let failure: Error | undefined
    try {
      await this.fetchAll()
      if (!(await this.verify())) {
        // The earlier part may be the wrong one, so everything is fetched again.
        const isAgain = this.isPieced && !this.file.isSent
        if (isAgain) await this.fetchAll()
        if (!isAgain || !(await this.verify())) throw otherContent(this.order)
      }
      await this.context.publish(this)
    } catch (error) {
      failure = this.toFailure(error)
      this.begin.reject(failure)
      throw failure
    } finally {
      this.total.extend(undefined)
      this.file.end(failure)
      this.context.onEnd(this, failure)
    }
  }

  private async fetchAll(): Promise<void> {
    const { store, pause, monotonic, deadlineMs } = this.context
    const { upload } = this
    const { size, repository } = this.order
    this.file.resume(await store.getSize(upload))
    if (this.file.size > size) await this.startOver()
    let failures = 0
    while (this.file.size < size) {
      const before = this.file.size
      if (before > 0) {
        this.isPieced = true
        this.context.onResumed()
      }
      try {
        await this.fetchOn(failures)
        if (this.file.size < size) throw new UpstreamError('unavailable', 'the answer is too short')
      } catch (error) {
        this.file.resume(await store.getSize(upload))
        this.signal.throwIfAborted()
        // Clients have received bytes, and must not get the rest of other content.
        if (this.file.size < before) throw error
        if (error instanceof UpstreamError && error.kind === 'wrong') await this.startOver()
        failures = this.file.size > before ? 0 : failures + 1
        const have = this.file.size
        const isUp = this.order.upstream.isUpFor(repository)
        const patienceMs = Math.min(this.endsAt, this.progressAt + deadlineMs) - monotonic()
        const pauseMs = pauseBefore(error, { failures, have, hasBegun: this.hasBegun, isUp, patienceMs })
        if (pauseMs === undefined) throw error
        if (isDiskFull(error)) await this.context.onDiskFull(size - this.file.size)
        await pause(pauseMs)
      }
    }
    this.begin.resolve()
  }

  /** Sends one request for the missing bytes. The response may end early. */
  private async fetchOn(avoid: number): Promise<void> {
    const { store, deadlineMs, stallSecondsMax, monotonic, onReceived } = this.context
    const { signal } = this
    const { digest, size, upstream, repository } = this.order
    const give = await this.context.takePlace(upstream, signal)
    let timer: Timer | undefined
    const awaitBytes = () => {
      clearTimeout(timer)
      timer = setTimeout(give, PLACE_MILLISECONDS)
    }
    awaitBytes()
    let stream: FetchedBlob['stream'] | undefined
    try {
      const answer = await upstream.getBlob(repository, digest, this.file.size, { deadlineMs, avoid, signal })
      stream = answer.stream
      checkTotal(this.order, answer)
      this.begin.resolve()
      await store.append(this.upload, {
        stream,
        offset: this.file.size,
        skip: this.file.size - answer.from,
        bytesMax: size - this.file.size,
        stallSecondsMax,
        isEager: true,
        handlesDiskFull: true,
        ownsChunks: true,
        onWritten: (part) => {
          this.file.append(part)
          this.progressAt = monotonic()
          onReceived(upstream.name, part.length)
        },
        pace: (bytes) => {
          this.hasBegun = true
          awaitBytes()
          const turn = answer.take(bytes, signal)
          if (turn !== undefined) clearTimeout(timer)
          return turn?.finally(awaitBytes)
        },
      })
    } catch (error) {
      stream?.cancel().catch(() => {})
      const status = error instanceof RegistryError ? error.status : undefined
      if (status === 408)
        throw new UpstreamError('unavailable', `${upstream.name} stalls`, { cause: error, isTimeout: true })
      if (status !== 413) throw error
      await this.startOver()
      throw new UpstreamError('wrong', `${upstream.name} sends more than the ${size} bytes of ${digest}`)
    } finally {
      clearTimeout(timer)
      give()
    }
  }

  /** Reports whether the received bytes have the digest. If not, deletes them. */
  private async verify(): Promise<boolean> {
    const isRight = await this.context.store.verify(this.upload, this.order.digest)
    if (isRight) this.file.allowEnd()
    else await this.startOver()
    return isRight
  }

  /** Returns the error for clients. That of a broken connection or of the disk is its cause, which is logged. */
  private toFailure(error: unknown): Error {
    if (error instanceof UpstreamError || error instanceof RegistryError) return error
    const { upstream, digest } = this.order
    return new UpstreamError('unavailable', `${digest} could not be fetched from ${upstream.name}`, {
      cause: error,
    })
  }

  private async startOver(): Promise<void> {
    await this.context.store.cancel(this.upload)
    this.file.resume(0)
  }
}

/** How many attempts without progress a fill has: before and after its clients got a response. */
const FIRST_ATTEMPTS_MAX = 3
const ATTEMPTS_MAX = 6
/** The pause before the first new attempt; each further one is twice as long, up to the second number. */
const PAUSE_MILLISECONDS = 250
const PAUSE_MILLISECONDS_MAX = 8000

/** The state of a fill when an attempt fails. */
interface Progress {
  /** The consecutive attempts that received nothing. */
  failures: number
  /** The received bytes. */
  have: number
  /** Whether the upstream has sent a byte. */
  hasBegun: boolean
  /** Whether the upstream can be asked for the repository again now. */
  isUp: boolean
  /** How much longer its clients wait without a byte, and it may take in total, in milliseconds. */
  patienceMs: number
}

/**
 * Returns the pause before the next attempt, in milliseconds: at least the Retry-After of a 429 or 503. Returns undefined
 * if no further attempt can succeed, or if that is longer than clients wait.
 */
export function pauseBefore(error: unknown, progress: Progress): number | undefined {
  if (!isWorthAnother(error, progress)) return undefined
  const pause = Math.min(PAUSE_MILLISECONDS * 2 ** progress.failures, PAUSE_MILLISECONDS_MAX)
  // Without a response, nothing is known of the upstream's state.
  const { kind, status, retryAfterSeconds }: Partial<UpstreamError> =
    error instanceof UpstreamError ? error : {}
  if (retryAfterSeconds === undefined || (kind !== 'limited' && status === undefined)) return pause
  const retryAfterMs = retryAfterSeconds * 1000
  return retryAfterMs < progress.patienceMs ? Math.max(pause, retryAfterMs) : undefined
}

/** Reports whether another attempt may succeed. */
function isWorthAnother(error: unknown, { failures, have, hasBegun, isUp }: Progress): boolean {
  if (failures >= (hasBegun ? ATTEMPTS_MAX : FIRST_ATTEMPTS_MAX)) return false
  // Without bytes, it can still be passed through.
  if (error instanceof RegistryError) return isDiskFull(error) && (have > 0 || failures < 2)
  // The body of a response ended early.
  if (!(error instanceof UpstreamError)) return true
  if (error.kind === 'unavailable') return hasBegun || isUp
  return error.kind === 'limited' && have > 0
}

/** Returns the error for a blob that takes longer than the setting allows. */
export function takenTooLong({ name }: Upstream, totalSecondsMax: number): UpstreamError {
  const late = `${name} did not send all of it in ${totalSecondsMax} s ("cache.total-seconds-max")`
  return new UpstreamError('unavailable', late, { isTimeout: true })
}

export function otherContent({ upstream, digest }: FillOrder): UpstreamError {
  return new UpstreamError('wrong', `${upstream.name} sends other content than ${digest}`)
}

/** Throws UpstreamError `wrong` for a response to an order that says another size. */
export function checkTotal({ upstream, digest, size }: FillOrder, { total }: FetchedBlob): void {
  if (total === undefined || total === size) return
  throw new UpstreamError('wrong', `${upstream.name} says ${digest} has ${total} bytes, not ${size}`)
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
