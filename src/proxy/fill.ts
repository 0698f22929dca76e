import type { ByteSink, FedBody } from '../domain/blob-body.ts'
import { RegistryError } from '../oci/error.ts'
import type { ByteRange } from '../oci/range.ts'
import type { RepositoryName } from '../oci/reference.ts'
import type { FillStore, GrowingFile } from '../storage/fill-store.ts'
import type { SharedReads } from '../storage/shared-reads.ts'
import { Deadline } from './deadline.ts'
import { isDiskFull, isWorthAnother, pauseBefore } from './fill-failures.ts'
import type { FillOrder } from './fill-order.ts'
import type { Pace } from './pace.ts'
import { withoutFirst } from './stream-rest.ts'
import type { FetchedBlob, Upstream } from './upstream.ts'
import { UpstreamError } from './upstream-error.ts'

/** A fill that has received nothing for this long gives its place to another one. */
const PLACE_MILLISECONDS = 5000

/** The size of one write to a client. The first write is small, so that many new clients are served in one turn. */
const WRITE_BYTES = 128 * 1024
const FIRST_WRITE_BYTES = 16 * 1024

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
  /** Waits. Rejects when the signal is aborted. */
  pause(milliseconds: number): Promise<void>
  /** Takes a place among all fills and among the upstream's. Returns a function that gives it back. */
  takePlace(upstream: Upstream): Promise<() => void>
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
  private have = 0
  private isVerified = false
  private failure: Error | undefined
  private change = Promise.withResolvers<void>()
  private file: Promise<GrowingFile> | undefined
  private followers = 0
  private isOver = false
  /** Whether the bytes came in more than one part, the first perhaps in an earlier process. */
  private isPieced = false
  /** Whether a client may have received bytes. */
  private isSent = false
  /** Aborted when the server stops, or the fill has taken too long. */
  private readonly signal: AbortSignal
  private readonly total: Deadline

  /** @param id unique in this process */
  constructor(order: FillOrder, id: string, context: FillContext) {
    this.order = order
    this.id = id
    this.context = context
    this.repositories = new Set([order.repository])
    const { totalSecondsMax } = context
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
    return this.have
  }

  /** Waits until the first byte of a range may be sent. Rejects if the fill ends without it. */
  async reach({ start, end }: ByteRange): Promise<void> {
    await this.waitFor(start, end)
  }

  /** Returns a body that follows the fill. */
  follow(range: ByteRange): FedBody {
    return { feed: (sink) => this.feed(range, sink) }
  }

  private async feed({ start, end }: ByteRange, sink: ByteSink): Promise<void> {
    const { reads, pace, store } = this.context
    this.followers++
    let most = FIRST_WRITE_BYTES
    try {
      for (let at = start; at < end; ) {
        const limit = await this.waitFor(at, end)
        this.file ??= store.read(store.of(this.order.digest), this.order.digest)
        const file = await this.file
        while (at < limit) {
          const length = Math.min(most, limit - at)
          most = WRITE_BYTES
          const pause = pace.take(length)
          if (pause !== undefined) await pause
          const written = reads.use(this.id, file, at, at + length, (bytes) => {
            at += bytes.length
            return sink.write(bytes)
          })
          if (written !== true && !(await written)) return
        }
      }
    } finally {
      this.followers--
      this.closeFile()
    }
  }

  /** Waits until bytes after `at` of a body that ends at `end` may be sent. Returns the offset up to which they may. */
  private async waitFor(at: number, end: number): Promise<number> {
    for (;;) {
      const limit = this.isVerified ? end : Math.min(this.have, end - 1)
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

  private async run(): Promise<void> {
    let failure: Error | undefined
    try {
      await this.fetchAll()
      if (!(await this.verify())) {
        // The earlier part may be the wrong one, so everything is fetched again.
        if (!this.isPieced || this.isSent) throw this.otherContent()
        await this.fetchAll()
        if (!(await this.verify())) throw this.otherContent()
      }
      await this.context.publish(this)
    } catch (error) {
      failure = error as Error
      this.failure = failure
      this.begin.reject(failure)
      throw error
    } finally {
      this.total.extend(undefined)
      this.isOver = true
      this.changed()
      this.closeFile()
      this.context.onEnd(this, failure)
    }
  }

  private async fetchAll(): Promise<void> {
    const { store, pause } = this.context
    const { digest, size, upstream } = this.order
    const upload = store.of(digest)
    this.have = await store.getSize(upload)
    if (this.have > size) await this.startOver()
    let failures = 0
    while (this.have < size) {
      const before = this.have
      if (before > 0) {
        this.isPieced = true
        this.context.onResumed()
      }
      try {
        await this.fetchOn(failures)
        if (this.have < size) throw new UpstreamError('unavailable', 'the answer is too short')
      } catch (error) {
        this.have = await store.getSize(upload)
        this.signal.throwIfAborted()
        // Clients have received bytes, and must not get the rest of other content.
        if (this.have < before) throw error
        if (error instanceof UpstreamError && error.kind === 'wrong') await this.startOver()
        failures = this.have > before ? 0 : failures + 1
        if (
          !isWorthAnother(error, { failures, have: this.have, hasBegun: this.hasBegun, isUp: upstream.isUp })
        )
          throw error
        if (isDiskFull(error)) await this.context.onDiskFull(size - this.have)
        await pause(pauseBefore(failures))
      }
    }
    this.begin.resolve()
  }

  /** Sends one request for the missing bytes. The response may end early. */
  private async fetchOn(avoid: number): Promise<void> {
    const { store, reads, deadlineMs, stallSecondsMax, onReceived } = this.context
    const { signal } = this
    const { digest, size, upstream, repository } = this.order
    const give = await this.context.takePlace(upstream)
    let timer = setTimeout(give, PLACE_MILLISECONDS)
    let stream: FetchedBlob['stream'] | undefined
    try {
      const answer = await upstream.getBlob(repository, digest, this.have, { deadlineMs, avoid, signal })
      stream = answer.stream
      if (answer.total !== undefined && answer.total !== size) {
        throw new UpstreamError(
          'wrong',
          `${upstream.name} says ${digest} has ${answer.total} bytes, not ${size}`,
        )
      }
      this.hasBegun = true
      if (answer.from < this.have) stream = withoutFirst(answer.stream, this.have)
      this.begin.resolve()
      await store.append(store.of(digest), {
        stream,
        offset: this.have,
        bytesMax: size - this.have,
        stallSecondsMax,
        isEager: true,
        ownsChunks: true,
        onWritten: (part) => {
          if (this.followers > 0) reads.keep(this.id, this.have, part)
          this.have += part.length
          onReceived(upstream.name, part.length)
          clearTimeout(timer)
          timer = setTimeout(give, PLACE_MILLISECONDS)
          this.changed()
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
    const { store } = this.context
    const { digest } = this.order
    this.isVerified = await store.verify(store.of(digest), digest)
    if (this.isVerified) this.changed()
    else await this.startOver()
    return this.isVerified
  }

  private otherContent(): UpstreamError {
    const { upstream, digest } = this.order
    return new UpstreamError('wrong', `${upstream.name} sends other content than ${digest}`)
  }

  private async startOver(): Promise<void> {
    const { store } = this.context
    await store.cancel(store.of(this.order.digest))
    this.have = 0
  }

  private closeFile(): void {
    if (!this.isOver || this.followers > 0) return
    const { file } = this
    this.file = undefined
    file?.then((opened) => opened.close()).catch(() => {})
  }
}
