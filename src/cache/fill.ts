import type { Digest } from '../oci/digest.ts'
import { isDiskFull, RegistryError } from '../oci/error.ts'
import type { ByteRange } from '../oci/range.ts'
import type { RepositoryName } from '../oci/reference.ts'
import type { ByteSink, FedBody, FillStore, GrowingFile, Upload } from '../storage/blob-store.ts'
import type { SharedReads } from '../storage/shared-reads.ts'
import type { Pace } from './pace.ts'
import { Deadline } from './upstream/body.ts'
import { UpstreamError } from './upstream/failure.ts'
import type { FetchedBlob, Upstream } from './upstream/upstream.ts'

/** A fill that has received nothing for this long gives its place to another one. */
const PLACE_MILLISECONDS = 5000

export interface FillContext {
  store: FillStore
  reads: SharedReads
  pace: Pace
  /** Aborted when the server stops, or the upstream is removed. */
  signal: AbortSignal
  /** How long the headers of a response may take. */
  deadlineMs: number
  /** How long a response may send nothing before it is aborted. */
  stallSecondsMax: number
  /** How long a fill may take in total. */
  totalSecondsMax: number
  /** Milliseconds since an arbitrary time. */
  monotonic: () => number
  /** Waits. Rejects when the signal is aborted. */
  pause(milliseconds: number): Promise<void>
  /** Takes a place among all fills and among the upstream's. Returns a function that gives it back. Rejects on abort. */
  takePlace(upstream: Upstream, signal: AbortSignal): Promise<() => void>
  /** Frees space after the disk was full. */
  onDiskFull(bytes: number): Promise<void>
  /** Makes the verified bytes durable, links them into the repositories, and deletes the partial file. */
  publish(fill: Fill): Promise<void>
  onEnd(fill: Fill, failure: Error | undefined): void
  onReceived(upstream: string, bytes: number): void
  onResumed(): void
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
    const { store, reads, pace } = context
    this.upload = store.of(order.digest, order.upstream.name)
    const open = () => store.read(this.upload, order.digest)
    this.file = new FollowedFile({ id, open, reads, pace })
    const { totalSecondsMax, monotonic } = context
    this.progressAt = monotonic()
    this.endsAt = this.progressAt + totalSecondsMax * 1000
    const late = `${order.upstream.name} did not send all of it in ${totalSecondsMax} s ("cache.total-seconds-max")`
    this.total = new Deadline(
      totalSecondsMax * 1000,
      new UpstreamError('unavailable', late, { isTimeout: true }),
    )
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
        if (!this.isPieced || this.file.isSent) throw this.otherContent()
        await this.fetchAll()
        if (!(await this.verify())) throw this.otherContent()
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
        const pauseMs = pauseBefore(error, {
          failures,
          have: this.file.size,
          hasBegun: this.hasBegun,
          isUp: this.order.upstream.isUpFor(repository),
          patienceMs: Math.min(this.endsAt, this.progressAt + deadlineMs) - monotonic(),
        })
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
      if (answer.total !== undefined && answer.total !== size) {
        throw new UpstreamError(
          'wrong',
          `${upstream.name} says ${digest} has ${answer.total} bytes, not ${size}`,
        )
      }
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
      if (error instanceof RegistryError && error.status === 413) {
        await this.startOver()
        throw new UpstreamError('wrong', `${upstream.name} sends more than the ${size} bytes of ${digest}`)
      }
      if (error instanceof RegistryError && error.status === 408) {
        throw new UpstreamError('unavailable', `${upstream.name} stalls`, { cause: error, isTimeout: true })
      }
      throw error
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

  private otherContent(): UpstreamError {
    const { upstream, digest } = this.order
    return new UpstreamError('wrong', `${upstream.name} sends other content than ${digest}`)
  }

  private async startOver(): Promise<void> {
    await this.context.store.cancel(this.upload)
    this.file.resume(0)
  }
}

/** The size of one write to a client. The first write is small, so that many new clients are served in one turn. */
const WRITE_BYTES = 128 * 1024
const FIRST_WRITE_BYTES = 16 * 1024

/** The size of one write while there are few clients. Each write of a slow client is in memory until it is sent. */
const LARGE_WRITE_BYTES = 256 * 1024
const FEW_CLIENTS = 4

export interface FollowedFileOptions {
  /** Identifies the file in the shared reads. */
  id: string
  open: () => Promise<GrowingFile>
  reads: SharedReads
  pace: Pace
}

/**
 * A file that grows while clients read it. Each client gets the last byte of its body or range only after the digest
 * has been verified.
 */
export class FollowedFile {
  /** Whether a client may have received bytes. */
  isSent = false
  private readonly options: FollowedFileOptions
  private bytes = 0
  private isVerified = false
  private isOver = false
  private failure: Error | undefined
  private change = Promise.withResolvers<void>()
  private file: Promise<GrowingFile> | undefined
  private followers = 0

  constructor(options: FollowedFileOptions) {
    this.options = options
  }

  /** How many bytes it has. */
  get size(): number {
    return this.bytes
  }

  /** Continues at a size, which is less than before if the file starts over. */
  resume(size: number): void {
    this.bytes = size
  }

  /** Shows clients a part that was appended. Its memory may be reused afterwards. */
  append(part: Uint8Array): void {
    const { id, reads } = this.options
    if (this.followers > 0) reads.keep(id, this.bytes, part)
    this.bytes += part.length
    this.changed()
  }

  /** Lets clients have the last byte, because the digest is correct. */
  allowEnd(): void {
    this.isVerified = true
    this.changed()
  }

  /** Stops the growth. After a failure, clients that need further bytes fail, and others continue. */
  end(failure: Error | undefined): void {
    this.failure = failure
    this.isOver = true
    this.changed()
    this.closeFile()
  }

  /** Sends a range to a client as it arrives. Rejects if the file ends without it. */
  async feed({ start, end }: ByteRange, sink: ByteSink): Promise<void> {
    const { id, open, reads, pace } = this.options
    this.followers++
    let most = FIRST_WRITE_BYTES
    try {
      for (let at = start; at < end; ) {
        const limit = await this.waitFor(at, end)
        this.file ??= open()
        const file = await this.file
        const write = (bytes: Uint8Array) => {
          at += bytes.length
          return sink.write(bytes)
        }
        while (at < limit) {
          const length = Math.min(most, limit - at)
          most = this.followers > FEW_CLIENTS ? WRITE_BYTES : LARGE_WRITE_BYTES
          const pause = pace.take(length)
          if (pause !== undefined) await pause
          const written = reads.use(id, file, at, at + length, write)
          if (written !== true && !(await written)) return
        }
      }
    } finally {
      this.followers--
      this.closeFile()
    }
  }

  /** Waits until the byte at `at` of a body that ends at `end` may be sent. Returns the offset up to which they may. */
  async waitFor(at: number, end: number): Promise<number> {
    for (;;) {
      const limit = this.isVerified ? end : Math.min(this.bytes, end - 1)
      if (limit > at) {
        this.isSent = true
        return limit
      }
      if (this.failure !== undefined) throw this.failure
      await this.change.promise
    }
  }

  private changed(): void {
    const { resolve } = this.change
    this.change = Promise.withResolvers()
    resolve()
  }

  private closeFile(): void {
    if (!this.isOver || this.followers > 0) return
    const { file } = this
    this.file = undefined
    file?.then((opened) => opened.close()).catch(() => {})
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
  const retryAfterMs = retryAfterMsOf(error)
  if (retryAfterMs === undefined) return pause
  return retryAfterMs < progress.patienceMs ? Math.max(pause, retryAfterMs) : undefined
}

/** Returns what the upstream says in a response. Without one, nothing is known of its state. */
function retryAfterMsOf(error: unknown): number | undefined {
  if (!(error instanceof UpstreamError) || error.retryAfterSeconds === undefined) return undefined
  const isResponse = error.kind === 'limited' || error.status !== undefined
  return isResponse ? error.retryAfterSeconds * 1000 : undefined
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

/** What a fill fetches. */
export interface FillOrder {
  digest: Digest
  /** In bytes. */
  size: number
  upstream: Upstream
  repository: RepositoryName
}
