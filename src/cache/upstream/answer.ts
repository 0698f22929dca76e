import { type ErrorCode, registryError } from '../../oci/error.ts'

/**
 * Why a request to an upstream failed.
 * - `absent`: it responded with 404
 * - `denied`: it responded with 401 or 403 to the configured credentials
 * - `limited`: it responded with 429
 * - `unsupported`: it does not support this kind of request
 * - `unavailable`: it cannot be reached, does not respond in time, or fails
 * - `wrong`: it responded with something other than was requested
 */
export type UpstreamErrorKind = 'absent' | 'denied' | 'limited' | 'unsupported' | 'unavailable' | 'wrong'

/** Why cached content is served, as words after the upstream's name. They are constant, so that headers can be cached. */
export const STALE_REASONS: Record<UpstreamErrorKind, string> = {
  absent: 'no longer has it',
  denied: 'refuses it',
  limited: 'limits the pulls',
  unsupported: 'cannot be asked for it',
  unavailable: 'does not answer',
  wrong: 'answers something else',
}

/** A failed request to an upstream. The message names the upstream and never contains a secret. */
export class UpstreamError extends Error {
  override name = 'UpstreamError'
  readonly kind: UpstreamErrorKind
  /** The status of the response; undefined without one. */
  readonly status: number | undefined
  /** Whether the connection or the server failed, regardless of the request. */
  readonly isTransport: boolean
  /** Whether no connection was made. */
  readonly isUnconnected: boolean
  /** Whether the response did not begin, or stalled. */
  readonly isTimeout: boolean
  /** The upstream's Retry-After, in seconds. */
  readonly retryAfterSeconds: number | undefined

  constructor(kind: UpstreamErrorKind, message: string, options: UpstreamErrorOptions = {}) {
    super(message, { cause: options.cause })
    this.kind = kind
    this.status = options.status
    this.isTransport = options.isTransport ?? false
    this.isUnconnected = options.isUnconnected ?? false
    this.isTimeout = options.isTimeout ?? false
    this.retryAfterSeconds = options.retryAfterSeconds
  }
}

interface UpstreamErrorOptions {
  status?: number
  isTransport?: boolean
  isUnconnected?: boolean
  isTimeout?: boolean
  retryAfterSeconds?: number | undefined
  cause?: unknown
}

/** The longest Retry-After that is respected. */
const RETRY_AFTER_SECONDS_MAX = 6 * 3600

/** Returns the error for an unsuccessful status. `who` is the upstream's host. */
export function errorOfStatus(who: string, { status, headers }: Pick<Response, 'status' | 'headers'>) {
  const error = (kind: UpstreamErrorKind, how: UpstreamErrorOptions = {}) =>
    new UpstreamError(kind, `${who} answers ${status}`, { status, ...how })
  if (status === 404) return error('absent')
  if (status === 401 || status === 403) return error('denied')
  if (status === 400 || status === 405 || status === 501) return error('unsupported')
  if (status === 416) return error('wrong')
  const retryAfterSeconds = retryAfter(headers)
  if (status === 429) return error('limited', { retryAfterSeconds })
  return error('unavailable', { isTransport: status >= 502 && status <= 504, retryAfterSeconds })
}

/** The statuses with which registries, and the storage that they redirect to, refuse HEAD only. */
const HEAD_REFUSALS: readonly unknown[] = [400, 403, 405, 501]

/** Returns whether GET may succeed after HEAD has failed. */
export function mayRefuseHead(error: unknown): boolean {
  return error instanceof UpstreamError && HEAD_REFUSALS.includes(error.status)
}

/**
 * Returns Retry-After in seconds (RFC 9110, 10.2.3). For a date, these are the seconds until then by this machine's
 * clock.
 */
function retryAfter(headers: Headers): number | undefined {
  const text = headers.get('retry-after')?.trim() ?? ''
  const seconds = /^\d{1,9}$/.test(text) ? Number(text) : Math.ceil((Date.parse(text) - Date.now()) / 1000)
  return Number.isFinite(seconds) ? Math.min(Math.max(1, seconds), RETRY_AFTER_SECONDS_MAX) : undefined
}

/** After how many seconds a client should retry if the upstream does not say. */
const RETRY_SECONDS = 5

/**
 * Returns the error for content that is not cached and that the upstream does not provide. It is a 404 only if the
 * upstream says so, because to a client a 404 means that the image does not exist.
 *
 * @param what the requested content, in words for people
 * @param absent the error code for a 404
 * @param fate what has happened to it, as the words before the upstream's error
 */
export function refusalOf(
  error: unknown,
  what: string,
  absent: ErrorCode,
  fate = 'is not in the cache, and',
): unknown {
  if (!(error instanceof UpstreamError)) return error
  const { kind, message, isTimeout, retryAfterSeconds } = error
  const why = `${what} ${fate} ${message}`
  const retryAfter = String(retryAfterSeconds ?? RETRY_SECONDS)
  const options = { cause: error.cause, headers: { 'retry-after': retryAfter } }
  switch (kind) {
    case 'absent':
      return registryError(absent, why)
    case 'denied':
      return registryError(
        'DENIED',
        `${why}: it does not exist, or the account that is configured may not pull it`,
      )
    case 'limited':
      return registryError('TOOMANYREQUESTS', why, options)
    case 'unavailable':
      return registryError('UNAVAILABLE', why, { ...options, status: isTimeout ? 504 : 503 })
    default:
      return registryError('UNAVAILABLE', why, { ...options, status: 502 })
  }
}

/** Returns the Content-Length in bytes; undefined if there is none. */
export function lengthOf(headers: Headers): number | undefined {
  const text = headers.get('content-length') ?? ''
  return /^\d{1,15}$/.test(text) ? Number(text) : undefined
}

/** Returns where the range of a 206 begins, and the size of the whole (RFC 9110, 14.4). */
export function partOf(headers: Headers): { from: number; total: number | undefined } | undefined {
  const [, from, total] =
    /^bytes (\d{1,15})-\d{1,15}\/(\d{1,15}|\*)$/.exec(headers.get('content-range') ?? '') ?? []
  if (from === undefined || total === undefined) return undefined
  return { from: Number(from), total: total === '*' ? undefined : Number(total) }
}

/**
 * Reads a whole body of limited size.
 *
 * @param who who sends it, for the errors
 * @param stallMs how long it may send nothing
 * @param memory counts its memory
 * @throws UpstreamError `wrong` for a longer one, `unavailable` for one that stalls or ends early
 */
export async function readBounded(
  response: Response,
  {
    who,
    bytesMax,
    stallMs,
    memory,
  }: { who: string; bytesMax: number; stallMs: number; memory?: ReturnType<AnswerMemory['hold']> },
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
    if (cause instanceof UpstreamError) throw cause
    const isTimeout = cause instanceof DOMException && cause.name === 'TimeoutError'
    const what = isTimeout ? 'was not complete in time' : 'ended early'
    throw new UpstreamError('unavailable', `the response of ${who} ${what}`, { cause, isTimeout })
  } finally {
    stall.extend(undefined)
  }
  return Buffer.concat(chunks)
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

  /** Starts counting one response, until it is released. `grow` throws UpstreamError `unavailable` for want of memory. */
  hold() {
    let counted = 0
    return {
      /** Counts the response's bytes so far. */
      grow: (length: number) => {
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
