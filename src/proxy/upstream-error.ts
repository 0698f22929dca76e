/**
 * Why an upstream's answer is of no use.
 * - `absent`: it says 404
 * - `denied`: it says 401 or 403, also to the credentials that are configured
 * - `limited`: it says 429
 * - `unsupported`: it does not take this kind of request
 * - `unavailable`: it cannot be reached, does not answer in time, or fails
 * - `wrong`: it answers something else than was asked for
 */
export type UpstreamErrorKind = 'absent' | 'denied' | 'limited' | 'unsupported' | 'unavailable' | 'wrong'

/** An upstream did not give what it was asked for. The message names the upstream and never holds a secret. */
export class UpstreamError extends Error {
  override name = 'UpstreamError'
  readonly kind: UpstreamErrorKind
  /** The connection or the server failed, whatever was asked for. */
  readonly isTransport: boolean
  /** It did not answer, or did not go on, in time. */
  readonly isTimeout: boolean
  /** How long the upstream asked to be left alone, in seconds. */
  readonly retryAfterSeconds: number | undefined

  constructor(kind: UpstreamErrorKind, message: string, options: UpstreamErrorOptions = {}) {
    super(message, { cause: options.cause })
    this.kind = kind
    this.isTransport = options.isTransport ?? false
    this.isTimeout = options.isTimeout ?? false
    this.retryAfterSeconds = options.retryAfterSeconds
  }
}

interface UpstreamErrorOptions {
  isTransport?: boolean
  isTimeout?: boolean
  retryAfterSeconds?: number | undefined
  cause?: unknown
}

/** The longest Retry-After that is followed. */
const RETRY_AFTER_SECONDS_MAX = 6 * 3600

/** The error for a status that is no success. `who` names the upstream's host. */
export function errorOfStatus(who: string, { status, headers }: Pick<Response, 'status' | 'headers'>) {
  const says = `${who} answers ${status}`
  if (status === 404) return new UpstreamError('absent', says)
  if (status === 401 || status === 403) return new UpstreamError('denied', says)
  if (status === 429) return new UpstreamError('limited', says, { retryAfterSeconds: retryAfter(headers) })
  if (status === 400 || status === 405 || status === 501) return new UpstreamError('unsupported', says)
  if (status === 416) return new UpstreamError('wrong', says)
  const isTransport = status >= 502 && status <= 504
  return new UpstreamError('unavailable', says, { isTransport, retryAfterSeconds: retryAfter(headers) })
}

/** Retry-After in seconds (RFC 9110, 10.2.3); of a date, the seconds until then by this machine's clock. */
function retryAfter(headers: Headers): number | undefined {
  const text = headers.get('retry-after')?.trim() ?? ''
  const seconds = /^\d{1,9}$/.test(text) ? Number(text) : Math.ceil((Date.parse(text) - Date.now()) / 1000)
  return Number.isFinite(seconds) ? Math.min(Math.max(1, seconds), RETRY_AFTER_SECONDS_MAX) : undefined
}
