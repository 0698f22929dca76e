import { isDiskFull, RegistryError } from '../../oci/error.ts'
import { UpstreamError } from '../upstream/upstream-error.ts'

/** How many attempts without progress a fill has: before and after its clients got a response. */
const FIRST_ATTEMPTS_MAX = 3
const ATTEMPTS_MAX = 6
/** The pause before the first new attempt; each further one is twice as long, up to the second number. */
const PAUSE_MILLISECONDS = 250
const PAUSE_MILLISECONDS_MAX = 8000

/** The state of a fill when an attempt fails. */
interface Progress {
  /** The consecutive attempts that received nothing. */
  failures: number
  /** The received bytes. */
  have: number
  /** Whether the upstream has sent a byte. */
  hasBegun: boolean
  /** Whether the upstream can be asked for the repository again now. */
  isUp: boolean
  /** How much longer its clients wait without a byte, and it may take in total, in milliseconds. */
  patienceMs: number
}

/**
 * Returns the pause before the next attempt, in milliseconds: at least the Retry-After of a 429 or 503. Returns undefined
 * if no further attempt can succeed, or if that is longer than clients wait.
 */
export function pauseBefore(error: unknown, progress: Progress): number | undefined {
  if (!isWorthAnother(error, progress)) return undefined
  const pause = Math.min(PAUSE_MILLISECONDS * 2 ** progress.failures, PAUSE_MILLISECONDS_MAX)
  const retryAfterMs = retryAfterMsOf(error)
  if (retryAfterMs === undefined) return pause
  return retryAfterMs < progress.patienceMs ? Math.max(pause, retryAfterMs) : undefined
}

/** Returns what the upstream says in a response. Without one, nothing is known of its state. */
function retryAfterMsOf(error: unknown): number | undefined {
  if (!(error instanceof UpstreamError) || error.retryAfterSeconds === undefined) return undefined
  const isResponse = error.kind === 'limited' || error.status !== undefined
  return isResponse ? error.retryAfterSeconds * 1000 : undefined
}

/** Reports whether another attempt may succeed. */
function isWorthAnother(error: unknown, { failures, have, hasBegun, isUp }: Progress): boolean {
  if (failures >= (hasBegun ? ATTEMPTS_MAX : FIRST_ATTEMPTS_MAX)) return false
  // Without bytes, it can still be passed through.
  if (error instanceof RegistryError) return isDiskFull(error) && (have > 0 || failures < 2)
  // The body of a response ended early.
  if (!(error instanceof UpstreamError)) return true
  if (error.kind === 'unavailable') return hasBegun || isUp
  return error.kind === 'limited' && have > 0
}
