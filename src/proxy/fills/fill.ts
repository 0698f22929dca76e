import type { FedBody } from '../../domain/blob-body.ts'
import { isDiskFull, RegistryError } from '../../oci/error.ts'
import type { ByteRange } from '../../oci/range.ts'
import type { RepositoryName } from '../../oci/reference.ts'
import type { Upload } from '../../storage/blob-store.ts'
import type { SharedReads } from '../../storage/shared-reads.ts'
import type { FillStore } from '../../storage/uploads/fill-store.ts'
import { Deadline } from '../upstream/deadline.ts'
import type { FetchedBlob, Upstream } from '../upstream/upstream.ts'
import { UpstreamError } from '../upstream/upstream-error.ts'
import { pauseBefore } from './fill-failures.ts'
import type { FillOrder } from './fill-order.ts'
import { FollowedFile } from './followed-file.ts'
import type { Pace } from './pace.ts'

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
