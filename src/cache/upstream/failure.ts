import { type ErrorCode, registryError } from '../../oci/error.ts'

/**
 * Why a request to an upstream failed. - `absent`: it responded with 404 - `denied`: it responded with 401 or 403 to
 * the configured credentials - `limited`: it responded with 429 - `unsupported`: it does not support this kind of
 * request - `unavailable`: it cannot be reached, does not respond in time, or fails - `wrong`: it responded with
 * something other than was requested
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
  const says = `${who} answers ${status}`
  if (status === 404) return new UpstreamError('absent', says, { status })
  if (status === 401 || status === 403) return new UpstreamError('denied', says, { status })
  const retryAfterSeconds = retryAfter(headers)
  if (status === 429) return new UpstreamError('limited', says, { status, retryAfterSeconds })
  if (status === 400 || status === 405 || status === 501)
    return new UpstreamError('unsupported', says, { status })
  if (status === 416) return new UpstreamError('wrong', says, { status })
  const isTransport = status >= 502 && status <= 504
  return new UpstreamError('unavailable', says, { status, isTransport, retryAfterSeconds })
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
  const options = {
    cause: error.cause,
    headers: { 'retry-after': String(retryAfterSeconds ?? RETRY_SECONDS) },
  }
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
