import type { HeldAnswer } from '../answer-memory.ts'
import { Deadline, unlessAborted } from './deadline.ts'
import { UpstreamError } from './upstream-error.ts'

export interface BoundedBodyOptions {
  /** Who sends it, for the errors. */
  who: string
  bytesMax: number
  /** How long it may send nothing. */
  stallMs: number
  /** Counts its memory. */
  memory?: HeldAnswer
}

/**
 * Reads a whole body of limited size.
 * @throws UpstreamError `wrong` for a longer one, `unavailable` for one that stalls or ends early
 */
export async function readBounded(
  response: Response,
  { who, bytesMax, stallMs, memory }: BoundedBodyOptions,
): Promise<Uint8Array<ArrayBuffer>> {
  const chunks: Uint8Array[] = []
  let length = 0
  const stall = new Deadline(stallMs)
  const reader = response.body?.getReader()
  try {
    while (reader !== undefined) {
      const { value } = await unlessAborted(reader.read(), stall.signal)
      if (value === undefined) break
      stall.extend(stallMs)
      length += value.length
      if (length > bytesMax)
        throw new UpstreamError('wrong', `the response of ${who} is longer than ${bytesMax} bytes`)
      memory?.grow(length)
      chunks.push(value)
    }
  } catch (cause) {
    reader?.cancel().catch(() => {})
    throw toUpstreamError(cause, who)
  } finally {
    stall.extend(undefined)
  }
  return Buffer.concat(chunks)
}

function toUpstreamError(cause: unknown, who: string): UpstreamError {
  if (cause instanceof UpstreamError) return cause
  const isTimeout = cause instanceof DOMException && cause.name === 'TimeoutError'
  const what = isTimeout ? 'was not complete in time' : 'ended early'
  return new UpstreamError('unavailable', `the response of ${who} ${what}`, { cause, isTimeout })
}
