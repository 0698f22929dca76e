/** What tells the time, in milliseconds. */
export interface TimeSources {
  /** Since 1970; it may be set to anything at any moment. */
  wall: () => number
  /** Since some moment; it only goes on, and is never set. */
  monotonic: () => number
}

/**
 * The time of everything that is recorded, in milliseconds since 1970. It never goes back behind what was recorded
 * before, and goes on while the machine's clock is behind: a board without a clock may start in 1970.
 *
 * @param newest the newest time that is recorded
 */
export function recordingClock(newest: number, { wall, monotonic }: TimeSources): () => number {
  let last = newest
  let lastMonotonic = monotonic()
  return () => {
    const elapsed = monotonic() - lastMonotonic
    lastMonotonic += elapsed
    last = Math.max(wall(), last + elapsed)
    return Math.floor(last)
  }
}
