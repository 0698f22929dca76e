import { UpstreamError } from './failure.ts'

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

/** The bytes of each response that are not counted. Nearly all manifests are smaller. */
const UNCOUNTED_BYTES = 256 * 1024

/** The memory for the rest of large responses, of all upstreams together. */
const BYTES_MAX = 32 * 1024 * 1024

/** Limits the memory for responses of upstreams, because clients decide how many are read at once. */
export class AnswerMemory {
  private readonly bytesMax: number
  private taken = 0

  constructor(bytesMax = BYTES_MAX) {
    this.bytesMax = bytesMax
  }

  /** Starts counting one response, until it is released. */
  hold(): HeldAnswer {
    let counted = 0
    return {
      grow: (length) => {
        const more = Math.max(0, length - UNCOUNTED_BYTES) - counted
        if (this.taken + more > this.bytesMax)
          throw new UpstreamError('unavailable', 'too many large upstream responses are being read')
        counted += more
        this.taken += more
      },
      release: () => {
        this.taken -= counted
        counted = 0
      },
    }
  }
}

/** The memory of one response. */
export interface HeldAnswer {
  /** Counts the response's bytes so far. Throws an UpstreamError `unavailable` if they do not fit in the memory. */
  grow(length: number): void
  release(): void
}

/** How long the parts of a request may take, in milliseconds. */
export interface TimeLimits {
  connectMs: number
  /** Until the headers of a response. */
  firstByteMs: number
  /** Between two parts of a body. */
  stallMs: number
  /** The whole body of a manifest, a list or a token. */
  manifestMs: number
}

/** Aborts its signal after a time that can be changed. */
export class Deadline {
  private readonly controller = new AbortController()
  private timer: Timer | undefined
  private readonly reason: Error

  /** @param reason the error that the signal is aborted with */
  constructor(milliseconds: number, reason: Error = new DOMException('no answer in time', 'TimeoutError')) {
    this.reason = reason
    this.extend(milliseconds)
  }

  get signal(): AbortSignal {
    return this.controller.signal
  }

  /** Restarts the deadline; undefined cancels it. */
  extend(milliseconds: number | undefined): void {
    clearTimeout(this.timer)
    if (milliseconds === undefined) return
    this.timer = setTimeout(() => this.controller.abort(this.reason), milliseconds)
  }
}

/** Returns the promise's result. Throws the signal's reason if it is aborted first. */
export async function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted()
  const { promise: aborted, reject } = Promise.withResolvers<never>()
  const abort = () => reject(signal.reason)
  signal.addEventListener('abort', abort)
  try {
    return await Promise.race([promise, aborted])
  } finally {
    signal.removeEventListener('abort', abort)
  }
}
