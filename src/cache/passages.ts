import { algorithmOf, type ByteRange, hexOf } from '../oci/reference.ts'
import { type ByteSink, type FedBody, freeChunk } from '../storage/blob-store.ts'
import { checkTotal, type FillOrder, otherContent, pauseBefore, takenTooLong } from './fills.ts'
import { inTime } from './flights.ts'
import { type Pace, type Places, takePlaces } from './pace.ts'
import { UpstreamError } from './upstream/answer.ts'
import type { Upstream } from './upstream/upstream.ts'

/** How many there can be, including those that wait for a place. */
const PASSAGES_MAX = 1024

/** How often they are checked. */
const CHECK_MILLISECONDS = 1000

/** Ranges that begin later are not sent by themselves. */
const RANGE_START_MAX = 4 * 1024 * 1024

export interface PassagesOptions extends PassageOptions {
  /** Calls `work` again and again. Returns a function that ends this. */
  every?: (milliseconds: number, work: () => void) => () => void
}

/** The blobs that are passed through to one client each, because they do not fit in the cache. */
export class Passages {
  private readonly options: PassagesOptions
  private readonly running = new Set<Passage>()
  private stopChecks: (() => void) | undefined

  constructor(options: PassagesOptions) {
    this.options = options
  }

  /**
   * Starts to pass a blob through. Resolves when the first byte of the range is here.
   *
   * @param milliseconds how long that may take
   * @throws UpstreamError
   */
  async open(order: FillOrder, range: ByteRange, milliseconds: number): Promise<FedBody> {
    if (this.running.size >= PASSAGES_MAX) {
      throw new UpstreamError('unavailable', 'too many others are waiting to be fetched')
    }
    const passage = new Passage(order, range, this.options, () => {
      this.running.delete(passage)
      if (this.running.size > 0) return
      this.stopChecks?.()
      this.stopChecks = undefined
    })
    this.running.add(passage)
    this.stopChecks ??= (this.options.every ?? every)(CHECK_MILLISECONDS, () => {
      for (const one of this.running) one.check()
    })
    await passage.begin(milliseconds)
    return passage
  }

  /**
   * Reports whether a range can be sent by itself. A client gets its status line with the first byte, which must not take
   * long: everything before it is fetched, too, and the last byte waits for the whole blob.
   */
  isSendable({ start, end }: ByteRange): boolean {
    return start <= RANGE_START_MAX && end - start > 1
  }

  /** Continues those of an upstream with the one that replaces it. */
  move(from: Upstream, to: Upstream): void {
    for (const { order } of this.running) if (order.upstream === from) order.upstream = to
  }

  /** Ends those of a removed upstream. */
  end(upstream: Upstream): void {
    const reason = new UpstreamError('absent', `the upstream ${upstream.name} was removed`)
    for (const passage of this.running) if (passage.order.upstream === upstream) passage.end(reason)
  }

  /** Ends all. */
  stop(): void {
    for (const passage of this.running) passage.end(new Error('the server is stopping'))
  }
}

function every(milliseconds: number, work: () => void): () => void {
  const timer = setInterval(work, milliseconds)
  return () => clearInterval(timer)
}

/** The size of one write to a client. A client must read this much before it counts as waiting again. */
const WRITE_BYTES = 64 * 1024

/** A client that reads less than this in the time of a stall gives its place to others that wait for one. */
const SLOW_BYTES = 1024 * 1024

/** How many times as long as an upstream a client may stall if nobody waits for its place. */
const CLIENT_STALLS = 4

interface PassageOptions {
  pace: Pace
  /** The places of all upstreams. */
  places: Places
  /** Milliseconds since an arbitrary time. */
  monotonic: () => number
  /** How long the headers of a response may take. */
  firstByteMs: number
  /** How long a response may send nothing before it is requested again. */
  stallSecondsMax: number
  /** How long it may take in total. */
  totalSecondsMax: number
  pause(milliseconds: number): Promise<void>
  onReceived(upstream: string, bytes: number): void
}

/**
 * A blob that one client gets without its being stored, because it does not fit in the cache. All of it is fetched and
 * hashed, even for a range. The last byte of the body is sent when the digest is verified. An interrupted response is
 * resumed at the next byte. It has a place among the downloads, like a fill, which a slow client loses to others.
 */
class Passage implements FedBody {
  readonly order: FillOrder
  private readonly range: ByteRange
  private readonly options: PassageOptions
  private readonly onEnd: () => void
  private readonly hasher: Bun.CryptoHasher
  private readonly chunks: AsyncGenerator<Uint8Array, void>
  private readonly ending = new AbortController()
  private readonly endsAt: number
  /** When it last received bytes, or began. */
  private progressAt: number
  /** The received bytes, without those that were sent again. */
  private at = 0
  /** The first bytes for the client. */
  private first: Uint8Array | undefined
  private last: Uint8Array | undefined
  private isPlaced = false
  private waitsFor: 'upstream' | 'client' | undefined
  private since = 0
  /** Since when `taken` bytes were read by the client. */
  private countedSince: number
  private taken = 0
  /** Ends the current response. */
  private stall = () => {}
  /** Ends the current wait. */
  private interrupt: (reason: Error) => void = () => {}

  constructor(order: FillOrder, range: ByteRange, options: PassageOptions, onEnd: () => void) {
    this.order = order
    this.range = range
    this.options = options
    this.onEnd = onEnd
    this.hasher = new Bun.CryptoHasher(algorithmOf(order.digest))
    this.chunks = this.receive()
    this.countedSince = options.monotonic()
    this.progressAt = this.countedSince
    this.endsAt = this.countedSince + options.totalSecondsMax * 1000
  }

  /**
   * Waits until the first byte for the client is here, because a client gets its status line only with that.
   * @throws UpstreamError `unavailable` if that takes longer than the given time
   */
  async begin(milliseconds: number): Promise<void> {
    const { upstream } = this.order
    try {
      this.first = await inTime(this.next(), milliseconds, upstream)
    } catch (error) {
      this.end(error as Error)
      const isLate = error instanceof UpstreamError && error.isTimeout
      if (this.isPlaced || !isLate) throw error
      throw new UpstreamError('unavailable', `too many other blobs of ${upstream.name} are being fetched`)
    }
    this.startWaiting('client')
  }

  async feed(sink: ByteSink): Promise<void> {
    try {
      for (let part = this.first; part !== undefined; part = await this.next()) {
        if (!(await this.write(part, sink))) return
      }
      if (this.hasher.digest('hex') !== hexOf(this.order.digest)) throw otherContent(this.order)
      if (this.last !== undefined) await this.write(this.last, sink)
    } finally {
      this.end(new UpstreamError('unavailable', 'the download has ended'))
    }
  }

  /** Ends it. The client's connection is cut, unless everything was sent. */
  end(reason: Error): void {
    if (this.ending.signal.aborted) return
    this.ending.abort(reason)
    this.interrupt(reason)
    void this.chunks.return().catch(() => {})
    this.onEnd()
  }

  /** Ends it if the client is too slow, and the current response if the upstream stalls. Call it once a second. */
  check(): void {
    const { monotonic, stallSecondsMax, totalSecondsMax } = this.options
    const { upstream } = this.order
    const now = monotonic()
    const stallMs = stallSecondsMax * 1000
    if (now >= this.endsAt) this.end(takenTooLong(upstream, totalSecondsMax))
    if (this.waitsFor === 'upstream' && now - this.since >= stallMs) this.stall()
    if (this.waitsFor === 'client' && now - this.since >= CLIENT_STALLS * stallMs) this.endSlow()
    if (now - this.countedSince < stallMs) return
    const isWanted = upstream.places.isWanted || this.options.places.isWanted
    if (this.waitsFor === 'client' && isWanted && this.taken < SLOW_BYTES) this.endSlow()
    this.countedSince = now
    this.taken = 0
  }

  private endSlow(): void {
    this.end(new UpstreamError('unavailable', 'the client reads too slowly', { isTimeout: true }))
  }

  /** Returns the next bytes for the client. */
  private async next(): Promise<Uint8Array | undefined> {
    for (;;) {
      const { value } = await this.chunks.next()
      if (value === undefined) {
        this.ending.signal.throwIfAborted()
        return undefined
      }
      const part = this.take(value)
      if (part.length > 0) return part
    }
  }

  private async write(part: Uint8Array, sink: ByteSink): Promise<boolean> {
    for (let at = 0; at < part.length; at += WRITE_BYTES) {
      const piece = part.subarray(at, at + WRITE_BYTES)
      const written = sink.write(piece)
      if (typeof written !== 'boolean') this.startWaiting('client')
      const isTaken = typeof written === 'boolean' ? written : await this.unlessEnded(written)
      this.waitsFor = undefined
      this.taken += piece.length
      if (!isTaken) return false
    }
    return true
  }

  /** Yields the blob's bytes in order, whatever number of responses they need. Each is valid until the next one. */
  private async *receive(): AsyncGenerator<Uint8Array, void> {
    const { size, repository } = this.order
    const { firstByteMs, monotonic } = this.options
    let failures = 0
    while (this.at < size) {
      const before = this.at
      try {
        yield* this.receiveOne(failures)
        if (this.at < size) throw brokenOff(this.order.upstream)
      } catch (error) {
        this.ending.signal.throwIfAborted()
        failures = this.at > before ? 0 : failures + 1
        const { upstream } = this.order
        const have = this.at
        const isUp = upstream.isUpFor(repository)
        const patienceMs = Math.min(this.endsAt, this.progressAt + firstByteMs) - monotonic()
        const pauseMs = pauseBefore(error, { failures, have, hasBegun: have > 0, isUp, patienceMs })
        if (pauseMs === undefined) throw error instanceof UpstreamError ? error : brokenOff(upstream, error)
        await this.unlessEnded(this.options.pause(pauseMs))
      }
    }
  }

  /** Yields the bytes of one response. It holds a place until its end. */
  private async *receiveOne(avoid: number): AsyncGenerator<Uint8Array, void> {
    const { firstByteMs: deadlineMs, pace, places, monotonic, onReceived } = this.options
    const { upstream, repository, digest, size } = this.order
    const { signal } = this.ending
    const give = await takePlaces(upstream.places, places, signal)
    this.isPlaced = true
    let cancel = () => {}
    try {
      const answer = await upstream.getBlob(repository, digest, this.at, { deadlineMs, avoid, signal })
      const reader = answer.stream.getReader()
      cancel = () => void reader.cancel().catch(() => {})
      checkTotal(this.order, answer)
      this.stall = cancel
      for (let skip = this.at - answer.from; this.at < size; ) {
        this.startWaiting('upstream')
        const { value } = await this.unlessEnded(reader.read())
        this.waitsFor = undefined
        if (value === undefined) return
        this.progressAt = monotonic()
        onReceived(upstream.name, value.length)
        await answer.take(value.length, signal)
        await pace.take(value.length)
        const fresh = value.subarray(Math.min(skip, value.length))
        skip -= value.length - fresh.length
        if (fresh.length > 0) yield fresh
        freeChunk(value)
      }
    } finally {
      this.waitsFor = undefined
      cancel()
      give()
    }
  }

  /** Hashes a part. Returns the requested bytes in it, except for the last one of the body. */
  private take(bytes: Uint8Array): Uint8Array {
    const { size } = this.order
    const { at } = this
    this.at += bytes.length
    if (this.at > size) throw new UpstreamError('wrong', `more than the ${size} bytes of the blob are sent`)
    this.hasher.update(bytes)
    const end = this.range.end - 1
    if (at <= end && end < this.at) this.last = bytes.slice(end - at, end - at + 1)
    const start = Math.max(0, this.range.start - at)
    return bytes.subarray(start, Math.max(start, end - at))
  }

  private startWaiting(waitsFor: 'upstream' | 'client'): void {
    this.waitsFor = waitsFor
    this.since = this.options.monotonic()
  }

  private unlessEnded<T>(work: Promise<T>): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>()
    // Not a race with a promise of its own, which would keep something of each wait.
    this.interrupt = reject
    work.then(resolve, reject)
    if (this.ending.signal.aborted) reject(this.ending.signal.reason)
    return promise
  }
}

function brokenOff({ name }: Upstream, cause?: unknown): UpstreamError {
  return new UpstreamError('unavailable', `${name} breaks off`, { cause })
}
