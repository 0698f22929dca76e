import { type ErrorCode, registryError } from '../oci/error.ts'
import { UpstreamError } from './upstream/upstream-error.ts'

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
