/** What tells the time, in milliseconds. */
export interface TimeSources {
  /** Since 1970; it may be set to anything at any moment. */
  wall: () => number
  /** Since some moment; it only goes on, and is never set. */
  monotonic: () => number
}

/** The clocks of a process. */
export interface Clocks extends TimeSources {
  /** The time of what is recorded, in milliseconds since 1970: it never goes back behind what was recorded before. */
  now: () => number
  /** A clock for deletions, which believes a jump of the wall clock when it has lasted `graceMs`. */
  steady: (graceMs: number) => () => number
}

/** @param newest the newest time that is recorded, in milliseconds since 1970 */
export function openClocks(newest: number, sources: Partial<TimeSources>): Clocks {
  const { wall = Date.now, monotonic = () => performance.now() } = sources
  const time = { wall, monotonic }
  return { ...time, now: recordingClock(newest, time), steady: (graceMs) => steadyClock(time, graceMs) }
}

/**
 * The time of everything that is recorded, in milliseconds since 1970. It never goes back behind what was recorded
 * before, and goes on while the machine's clock is behind: a board without a clock may start in 1970.
 *
 * @param newest the newest time that is recorded
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

/** The wall clock has jumped when it is so many milliseconds away from where time has brought it. */
const JUMP_MS_MAX = 60_000

/** A wall clock before the first release of cay is not set. */
const FIRST_RELEASE = Date.UTC(2026, 9, 1)

/**
 * The time that deletions go by, in milliseconds since 1970: never later than the wall clock. A jump forward counts only
 * when the wall clock has stayed there for a whole grace of monotonic time, so one wrong reading deletes nothing. Time
 * that passed before the process began is no jump.
 */
function steadyClock({ wall, monotonic }: TimeSources, graceMs: number): () => number {
  const jumpMs = Math.min(JUMP_MS_MAX, graceMs / 2)
  let offset = wall() - monotonic()
  let jumpedAt: number | undefined
  return () => {
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
}

/**
 * The time that certificates are dated by, in milliseconds since 1970: the steady time, or the best guess while the wall
 * clock is not set, as on a board that starts in 1970.
 */
export function certificateClock(steady: () => number, recorded: () => number): () => number {
  return () => {
    const at = steady()
    return at >= FIRST_RELEASE ? at : Math.max(FIRST_RELEASE, recorded())
  }
}
