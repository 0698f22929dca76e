import type { ByteSink, FedBody } from '../domain/blob-body.ts'
import { freeChunk } from '../domain/chunk.ts'
import { algorithmOf, hexOf } from '../oci/digest.ts'
import type { ByteRange } from '../oci/range.ts'
import type { FillOrder } from './fill-order.ts'
import type { Pace } from './pace.ts'
import { UpstreamError } from './upstream-error.ts'

/** How many retries without progress there are, and the pauses between them. */
const ATTEMPTS_MAX = 6
const PAUSE_MILLISECONDS = 250

export interface ThroughOptions {
  pace: Pace
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
  const answer = await open(order, 0, options)
  return { feed: (sink) => new Passage(order, range, options).feed(answer, sink) }
}

/** A response whose first bytes have arrived. Before that, the client gets no status line. */
interface Opened {
  reader: Reader
  from: number
  first: Uint8Array | undefined
}

async function open(
  { upstream, repository, digest, size }: FillOrder,
  from: number,
  { deadlineMs, stallSecondsMax }: ThroughOptions,
): Promise<Opened> {
  const answer = await upstream.getBlob(repository, digest, from, { deadlineMs })
  if (answer.total !== undefined && answer.total !== size) {
    answer.stream.cancel().catch(() => {})
    throw new UpstreamError('wrong', `${upstream.name} says ${digest} has ${answer.total} bytes, not ${size}`)
  }
  const reader: Reader = answer.stream.getReader()
  const { value } = await readInTime(reader, Math.min(stallSecondsMax, deadlineMs / 1000))
  return { reader, from: answer.from, first: value }
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
      if (failures === ATTEMPTS_MAX) throw new UpstreamError('unavailable', `${upstream.name} breaks off`)
      if (this.at < size) await this.options.pause(PAUSE_MILLISECONDS * 2 ** failures)
    }
    if (this.hasher.digest('hex') !== hexOf(digest)) {
      throw new UpstreamError('wrong', `${upstream.name} sends other content than ${digest}`)
    }
    if (this.last !== undefined) await sink.write(this.last)
  }

  /** Forwards one response to its end. Returns false if the client has disconnected. */
  private async pass({ reader, from, first }: Opened, sink: ByteSink): Promise<boolean> {
    const { pace, stallSecondsMax } = this.options
    let skipped = this.at - from
    let value = first
    try {
      for (;;) {
        if (value === undefined) return true
        await pace.take(value.length)
        const fresh = value.subarray(Math.min(skipped, value.length))
        skipped -= value.length - fresh.length
        const written = this.take(fresh, sink)
        freeChunk(value)
        if (!(await written)) return false
        value = (await readInTime(reader, stallSecondsMax)).value
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

async function readInTime(reader: Reader, secondsMax: number) {
  const timer = setTimeout(() => reader.cancel().catch(() => {}), secondsMax * 1000)
  try {
    return await reader.read()
  } finally {
    clearTimeout(timer)
  }
}
