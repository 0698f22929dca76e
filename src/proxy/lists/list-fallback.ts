import type { Listing } from '../../domain/registry.ts'
import { refusalOf } from '../refusals.ts'
import type { Upstream } from '../upstream/upstream.ts'
import { STALE_REASONS, UpstreamError } from '../upstream/upstream-error.ts'

/** How long an upstream may take for a list. */
export interface ListTimes {
  /** If something is cached that can be listed instead. */
  deadlineMs: number
  firstByteMs: number
}

/** Returns how long a client waits for a list, in milliseconds. */
export function clientWaitOf({ deadlineMs, firstByteMs }: ListTimes, isHere: boolean): number {
  return isHere ? deadlineMs : firstByteMs
}

/**
 * Returns the upstream's list, or else what is cached, with a warning. If nothing is, or the settings of the upstream
 * forbid it, throws the upstream's error.
 *
 * @param what the list, in words for people
 * @param cached returns undefined if nothing is cached
 */
export async function orCached<T>(
  listing: Promise<Listing<T>>,
  upstream: Upstream,
  what: string,
  cached: () => Promise<Listing<T> | undefined>,
): Promise<Listing<T>> {
  try {
    return await listing
  } catch (error) {
    const { gone, refused, offline } = upstream.settings
    const kind = error instanceof UpstreamError ? error.kind : 'unavailable'
    const isForbidden = (kind === 'absent' && gone === 'drop') || (kind === 'denied' && refused === 'refuse')
    const found = isForbidden ? undefined : await cached()
    if (found === undefined) throw refusalOf(error, what, 'NAME_UNKNOWN')
    const reason = offline ? 'is set to offline' : STALE_REASONS[kind]
    return { ...found, warning: `${what} shows only what is cached: ${upstream.name} ${reason}` }
  }
}
