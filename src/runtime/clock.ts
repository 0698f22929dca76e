/** The sources of time, in milliseconds. */
export interface TimeSources {
  /** Since 1970. May be set to any value at any time. */
  wall: () => number
  /** Since an arbitrary time. Never goes back and is never set. */
  monotonic: () => number
}

/** The clocks of a process. */
export interface Clocks extends TimeSources {
  /** The time for records, in milliseconds since 1970. Never earlier than what was recorded before. */
  now: () => number
  /** Returns a clock for deletions, which accepts a jump of the wall clock once it has lasted `graceMs`. */
  steady: (graceMs: number) => () => number
  /** Returns the same clock, but one that can be kept over restarts and continues from `kept`. */
  keptSteady: (graceMs: number, kept: KeptClock | undefined) => KeepableClock
}

/** What is kept of a clock for deletions. */
export interface KeptClock {
  /** Its last reading, in milliseconds since 1970. */
  at: number
  /** How long the wall clock had been away from it, in milliseconds; 0 if it was not. */
  jumpedMs: number
}

export interface KeepableClock {
  /** Milliseconds since 1970. */
  read: () => number
  keep: () => KeptClock
}

/** @param newest the newest recorded time, in milliseconds since 1970 */
export function openClocks(newest: number, sources: Partial<TimeSources>): Clocks {
  const { wall = Date.now, monotonic = () => performance.now() } = sources
  const time = { wall, monotonic }
  return {
    ...time,
    now: recordingClock(newest, time),
    steady: (graceMs) => steadyClock(time, graceMs).read,
    keptSteady: (graceMs, kept) => steadyClock(time, graceMs, kept),
  }
}

/**
 * Returns the clock for everything that is recorded, in milliseconds since 1970. It is never earlier than what was
 * recorded before, and keeps running while the machine's clock is behind: a board without a clock may start in 1970.
 *
 * @param newest the newest recorded time
 */
function recordingClock(newest: number, { wall, monotonic }: TimeSources): () => number {
  let last = newest
  let lastMonotonic = monotonic()
  return () => {
    const elapsed = monotonic() - lastMonotonic
    lastMonotonic += elapsed
    last = Math.max(wall(), last + elapsed)
    return Math.floor(last)
  }
}

/** The wall clock has jumped when it is this many milliseconds off from the elapsed time. */
const JUMP_MS_MAX = 60_000

/** A wall clock before cay's first release has not been set. */
const FIRST_RELEASE = Date.UTC(2026, 9, 1)

/**
 * Returns the clock for deletions, in milliseconds since 1970. It is never later than the wall clock. It follows a
 * jump forward only after the wall clock has stayed there for a whole grace period of monotonic time, so one wrong
 * reading deletes nothing. Without `kept`, time that passed before the process started is not a jump. With it, the
 * clock goes on where it was, so the time between counts as a jump, because its real length is unknown.
 */
function steadyClock({ wall, monotonic }: TimeSources, graceMs: number, kept?: KeptClock): KeepableClock {
  const jumpMs = Math.min(JUMP_MS_MAX, graceMs / 2)
  const start = monotonic()
  let offset = Math.min(wall(), kept?.at ?? Number.POSITIVE_INFINITY) - start
  let jumpedAt = kept === undefined || kept.jumpedMs === 0 ? undefined : start - kept.jumpedMs
  const read = () => {
    const elapsed = monotonic()
    const now = wall()
    const isJump = Math.abs(now - elapsed - offset) > jumpMs
    jumpedAt = isJump ? (jumpedAt ?? elapsed) : undefined
    if (jumpedAt === undefined || elapsed - jumpedAt >= graceMs) {
      offset = now - elapsed
      jumpedAt = undefined
    }
    return Math.min(now, Math.floor(offset + elapsed))
  }
  return {
    read,
    keep: () => ({ at: read(), jumpedMs: jumpedAt === undefined ? 0 : monotonic() - jumpedAt }),
  }
}

/**
 * Returns the clock for certificates, in milliseconds since 1970: the steady clock, or the best guess while the wall
 * clock is not set, as on a board that starts in 1970.
 */
export function certificateClock(steady: () => number, recorded: () => number): () => number {
  return () => {
    const at = steady()
    return at >= FIRST_RELEASE ? at : Math.max(FIRST_RELEASE, recorded())
  }
}

export const DAY_MS = 86_400_000

/** Returns the day of a time, as days since 1970 in UTC. */
export function dayOf(milliseconds: number): number {
  return Math.floor(milliseconds / DAY_MS)
}

/** Gives other requests a turn, between the slices of a long read. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

/**
 * Returns a copy of a text that keeps nothing else in memory. In JavaScriptCore a slice keeps the whole text that it was
 * cut from, so a short name from a request could keep a URL or a header of 16 KiB for as long as it is remembered.
 */
export function ownText(text: string): string {
  return Buffer.from(text).toString()
}

/** Returns a function that runs work in the order of its calls, each when the one before has ended. */
export function oneAtATime(): <T>(work: () => Promise<T>) => Promise<T> {
  let last: Promise<unknown> = Promise.resolve()
  return (work) => {
    const mine = last.then(work)
    last = mine.catch(() => {})
    return mine
  }
}
