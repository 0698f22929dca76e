import { type ErrorCode, type RegistryError, registryError } from '../oci/error.ts'
import { UpstreamError } from './upstream-error.ts'

/** Seconds after which a client may try again where the upstream does not say. */
const RETRY_SECONDS = 5

/**
 * What a client hears when an upstream does not give what is not here. Only where the upstream says so there is none: a
 * client that reads 404 believes that the image is gone.
 *
 * @param what what was asked for, for people
 * @param absent the code of a 404
 * @param fate what became of it, before the upstream's answer
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

/** What is not for repositories of an upstream. */
export function pullOnly(upstream: string): RegistryError {
  return registryError(
    'UNSUPPORTED',
    `repositories of ${upstream} are cached from there and take no pushes: push to a name that does not begin with ${upstream}/`,
  )
}
