import type { ByteSink, FedBody } from '../../domain/blob-body.ts'
import { freeChunk } from '../../domain/chunk.ts'
import { algorithmOf, hexOf } from '../../oci/digest.ts'
import type { ByteRange } from '../../oci/range.ts'
import { inTime } from '../in-time.ts'
import type { FetchedBlob, Upstream } from '../upstream/upstream.ts'
import { UpstreamError } from '../upstream/upstream-error.ts'
import type { FillOrder } from './fill-order.ts'
import type { Pace } from './pace.ts'

/** How many retries without progress there are, and the pauses between them. */
const ATTEMPTS_MAX = 6
const PAUSE_MILLISECONDS = 250

export interface ThroughOptions {
  pace: Pace
  /** How long the client waits for the first byte. */
  firstMs: number
  /** How long the headers of a further response may take, when the first one has broken off. */
  deadlineMs: number
  stallSecondsMax: number
  pause(milliseconds: number): Promise<void>
}

interface Reader {
  read(): Promise<{ done: boolean; value?: Uint8Array | undefined }>
  cancel(): Promise<void>
}

/**
 * Streams a blob that does not fit in the cache to one client, without storing it. All of it is fetched and hashed,
 * even for a range. The last byte of the body is sent when the digest is verified. An interrupted connection is
 * resumed at the next byte.
 */
export async function streamThrough(
  order: FillOrder,
  range: ByteRange,
  options: ThroughOptions,
): Promise<FedBody> {
  const answer = await open(order, 0, options, options.firstMs)
  return { feed: (sink) => new Passage(order, range, options).feed(answer, sink) }
}

/** A response whose first bytes have arrived. Before that, the client gets no status line. */
interface Opened extends Pick<FetchedBlob, 'from' | 'take'> {
  reader: Reader
  first: Uint8Array | undefined
}

async function open(
  { upstream, repository, digest, size }: FillOrder,
  from: number,
  { deadlineMs, stallSecondsMax }: ThroughOptions,
  withinMs = Number.POSITIVE_INFINITY,
): Promise<Opened> {
  const began = performance.now()
  const answer = await upstream.getBlob(repository, digest, from, {
    deadlineMs: Math.min(deadlineMs, withinMs),
  })
  if (answer.total !== undefined && answer.total !== size) {
    answer.stream.cancel().catch(() => {})
    throw new UpstreamError('wrong', `${upstream.name} says ${digest} has ${answer.total} bytes, not ${size}`)
  }
  const reader: Reader = answer.stream.getReader()
  const leftMs = withinMs - (performance.now() - began)
  const { value } = await readInTime(reader, Math.min(stallSecondsMax * 1000, leftMs), upstream)
  if (value === undefined && from < size) throw brokenOff(upstream)
  return { reader, from: answer.from, take: answer.take, first: value }
}

class Passage {
  private readonly order: FillOrder
  private readonly range: ByteRange
  private readonly options: ThroughOptions
  private readonly hasher: Bun.CryptoHasher
  private at = 0
  private last: Uint8Array | undefined

  constructor(order: FillOrder, range: ByteRange, options: ThroughOptions) {
    this.order = order
    this.range = range
    this.options = options
    this.hasher = new Bun.CryptoHasher(algorithmOf(order.digest))
  }

  async feed(first: Opened, sink: ByteSink): Promise<void> {
    const { upstream, digest, size } = this.order
    let answer: Opened | undefined = first
    for (let failures = 0; this.at < size; ) {
      const before = this.at
      try {
        answer ??= await open(this.order, this.at, this.options)
        if (!(await this.pass(answer, sink))) return
      } catch (error) {
        if (error instanceof UpstreamError && error.kind === 'wrong') throw error
      }
      answer = undefined
      failures = this.at > before ? 0 : failures + 1
      if (failures === ATTEMPTS_MAX) throw brokenOff(upstream)
      if (this.at < size) await this.options.pause(PAUSE_MILLISECONDS * 2 ** failures)
    }
    if (this.hasher.digest('hex') !== hexOf(digest)) {
      throw new UpstreamError('wrong', `${upstream.name} sends other content than ${digest}`)
    }
    if (this.last !== undefined) await sink.write(this.last)
  }

  /** Forwards one response to its end. Returns false if the client has disconnected. */
  private async pass({ reader, from, first, take }: Opened, sink: ByteSink): Promise<boolean> {
    const { pace, stallSecondsMax } = this.options
    const { upstream } = this.order
    let skipped = this.at - from
    let value = first
    try {
      for (;;) {
        if (value === undefined) return true
        await take(value.length)
        await pace.take(value.length)
        const fresh = value.subarray(Math.min(skipped, value.length))
        skipped -= value.length - fresh.length
        const written = this.take(fresh, sink)
        freeChunk(value)
        if (!(await written)) return false
        value = (await readInTime(reader, stallSecondsMax * 1000, upstream)).value
      }
    } finally {
      reader.cancel().catch(() => {})
    }
  }

  /** Hashes a part, and sends the requested bytes in it, except for the last one of the body. */
  private take(bytes: Uint8Array, sink: ByteSink): boolean | Promise<boolean> {
    const { size } = this.order
    if (bytes.length === 0) return true
    const { at } = this
    this.at += bytes.length
    if (this.at > size) throw new UpstreamError('wrong', `more than the ${size} bytes of the blob are sent`)
    this.hasher.update(bytes)
    const end = this.range.end - 1
    if (at <= end && end < this.at) this.last = bytes.slice(end - at, end - at + 1)
    const start = Math.max(0, this.range.start - at)
    const part = bytes.subarray(start, Math.max(start, end - at))
    return part.length === 0 || sink.write(part)
  }
}

/** @throws UpstreamError `unavailable` if nothing arrives in time, or the connection breaks */
async function readInTime(reader: Reader, milliseconds: number, upstream: Upstream) {
  try {
    return await inTime(reader.read(), milliseconds, upstream)
  } catch (cause) {
    reader.cancel().catch(() => {})
    throw cause instanceof UpstreamError ? cause : brokenOff(upstream, cause)
  }
}

function brokenOff({ name }: Upstream, cause?: unknown): UpstreamError {
  return new UpstreamError('unavailable', `${name} breaks off`, { cause })
}
