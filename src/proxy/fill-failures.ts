import { RegistryError } from '../oci/error.ts'
import { UpstreamError } from './upstream-error.ts'

/** How often a fill is tried that gets no further: before its clients were promised anything, and after that. */
const FIRST_ATTEMPTS_MAX = 3
const ATTEMPTS_MAX = 6
/** The pause before the first new attempt; each further one is twice as long, up to the second number. */
const PAUSE_MILLISECONDS = 250
const PAUSE_MILLISECONDS_MAX = 8000

/** How far a fill has come when an attempt fails. */
interface Progress {
  /** Attempts in a row that brought nothing. */
  failures: number
  /** Bytes that are here. */
  have: number
  /** An answer of the upstream has come. */
  hasBegun: boolean
  /** The upstream can be asked again now. */
  isUp: boolean
}

/** Whether another attempt may bring what this one did not. */
export function isWorthAnother(error: unknown, { failures, have, hasBegun, isUp }: Progress): boolean {
  if (failures >= (hasBegun ? ATTEMPTS_MAX : FIRST_ATTEMPTS_MAX)) return false
  if (error instanceof RegistryError) return isDiskFull(error)
  // The body of an answer broke off.
  if (!(error instanceof UpstreamError)) return true
  if (error.kind === 'unavailable') return hasBegun || isUp
  return error.kind === 'limited' && have > 0
}

/** Returns the pause before the next attempt, in milliseconds. */
export function pauseBefore(failures: number): number {
  return Math.min(PAUSE_MILLISECONDS * 2 ** failures, PAUSE_MILLISECONDS_MAX)
}

export function isDiskFull(error: unknown): boolean {
  return error instanceof RegistryError && error.status === 507
}
