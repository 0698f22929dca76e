import type { ByteSink, FedBody } from '../domain/blob-body.ts'
import { algorithmOf, hexOf } from '../oci/digest.ts'
import type { ByteRange } from '../oci/range.ts'
import type { FillOrder } from './fill.ts'
import type { Pace } from './pace.ts'
import { UpstreamError } from './upstream-error.ts'

export interface ThroughOptions {
  pace: Pace
  deadlineMs: number
  stallSecondsMax: number
}

interface Reader {
  read(): Promise<{ done: boolean; value?: Uint8Array | undefined }>
  cancel(): Promise<void>
}

/**
 * A blob that there is no room for: it goes to one client as it comes, and nothing of it is stored. All of it is
 * fetched and hashed, also for a range; the last byte is sent when the digest is verified.
 */
export async function streamThrough(
  order: FillOrder,
  range: ByteRange,
  options: ThroughOptions,
): Promise<FedBody> {
  const { upstream, repository, digest, size } = order
  const answer = await upstream.getBlob(repository, digest, 0, { deadlineMs: options.deadlineMs })
  if (answer.total === undefined || answer.total === size) {
    return { feed: (sink) => pump(order, answer.stream, range, sink, options) }
  }
  answer.stream.cancel().catch(() => {})
  throw new UpstreamError('wrong', `${upstream.name} says ${digest} has ${answer.total} bytes, not ${size}`)
}

async function pump(
  { upstream, digest, size }: FillOrder,
  stream: ReadableStream<Uint8Array>,
  { start, end }: ByteRange,
  sink: ByteSink,
  { pace, stallSecondsMax }: ThroughOptions,
): Promise<void> {
  const hasher = new Bun.CryptoHasher(algorithmOf(digest))
  const reader: Reader = stream.getReader()
  let at = 0
  let last: Uint8Array | undefined
  try {
    for (;;) {
      const { done, value } = await readInTime(reader, stallSecondsMax)
      if (done || value === undefined) break
      if (value.length === 0) continue
      await pace.take(value.length)
      hasher.update(value)
      const part = value.subarray(Math.max(0, start - at), Math.max(0, Math.min(end, size - 1) - at))
      if (at + value.length > size) break
      if (at + value.length === size) last = value.slice(-1)
      at += value.length
      if (part.length > 0 && !(await sink.write(part))) return
    }
    if (at !== size || hasher.digest('hex') !== hexOf(digest)) {
      throw new UpstreamError('wrong', `${upstream.name} sends other content than ${digest}`)
    }
    if (last !== undefined && end === size) await sink.write(last)
  } finally {
    reader.cancel().catch(() => {})
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
