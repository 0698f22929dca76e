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

/** A fill that has brought nothing for so long gives its place to another one. */
const PLACE_MILLISECONDS = 5000

/** Bytes that are written to a client at once. The first write is small, so that all clients of a turn get one soon. */
const WRITE_BYTES = 128 * 1024
const FIRST_WRITE_BYTES = 16 * 1024

export interface FillContext {
  store: FillStore
  reads: SharedReads
  pace: Pace
  /** Aborted when the server stops, or the upstream is removed. */
  signal: AbortSignal
  /** Until an answer's headers are here. */
  deadlineMs: number
  /** A body that brings nothing for so long is given up. */
  stallSecondsMax: number
  /** A fill that takes longer altogether is ended. */
  totalSecondsMax: number
  /** Waits, or throws when the signal is aborted. */
  pause(milliseconds: number): Promise<void>
  /** Takes a place among all fills, and among those of the upstream; answers how to give it back. */
  takePlace(upstream: Upstream): Promise<() => void>
  /** Makes room after the disk was full. */
  onDiskFull(bytes: number): Promise<void>
  /** Makes the verified bytes durable, names them in the repositories, and drops what the fill has kept. */
  publish(fill: Fill): Promise<void>
  onEnd(fill: Fill, failure: Error | undefined): void
  onReceived(upstream: string, bytes: number): void
  onResumed(): void
}

/**
 * One blob that comes from an upstream, for all who ask for it. It goes on without its clients, and from the byte that it
 * has when a connection breaks. Clients follow its file: each gets the last byte of its body or range only when the
 * digest is verified, so none ever completes a wrong one.
 */
export class Fill {
  readonly order: FillOrder
  readonly id: string
  /** The repositories that asked, which the blob is named in when it is here. */
  readonly repositories: Set<RepositoryName>
  /** Settled when it has ended; rejects with what it ended with. */
  readonly ended: Promise<void>
  /** Settled when an answer of the upstream has come, or a failure that ends it. */
  readonly begun: Promise<void>
  /** Clients that it was given to. */
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
  /** What is here came in more than one part, the first perhaps from an earlier process. */
  private isPieced = false
  /** A client may have bytes of what is here. */
  private isSent = false
  /** Aborted when the server stops, or the fill has taken too long. */
  private readonly signal: AbortSignal
  private readonly total: Deadline

  /** @param id no other fill of the process has the same */
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

  /** Bytes that are here. */
  get received(): number {
    return this.have
  }

  /** Waits until the first byte of a range may be sent; rejects when the fill ends without it. */
  async reach({ start, end }: ByteRange): Promise<void> {
    await this.waitFor(start, end)
  }

  /** A body that follows the fill. */
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

  /** Waits until more than `at` bytes of a body that ends at `end` may be sent; answers how many. */
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
        // The part that was here may be what is wrong: without it, the rest is worth another try.
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
        // Clients have bytes of it: they must not get others of another beginning.
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

  /** One request: from the byte that is here to the end, or as far as the answer goes. */
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

  /** Whether what is here has the digest; otherwise it is dropped. */
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
