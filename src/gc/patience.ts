import type { TimeSources } from '../domain/clock.ts'

/** The wall clock has jumped when it went so many milliseconds further than time, or less far. */
const JUMP_MS_MAX = 60_000

/**
 * Says when the collector may delete: after one whole grace without a jump of the clock. What looks old to a clock that
 * was just set may be fresh.
 */
export class Patience {
  private readonly graceMs: number
  private readonly time: TimeSources
  private since: number
  private drift: number

  constructor(graceMs: number, time: TimeSources) {
    this.graceMs = graceMs
    this.time = time
    this.since = time.monotonic()
    this.drift = time.wall() - this.since
  }

  /** Milliseconds until it may delete; 0 when it may. */
  remainingMs(): number {
    const monotonic = this.time.monotonic()
    const drift = this.time.wall() - monotonic
    if (Math.abs(drift - this.drift) > Math.min(JUMP_MS_MAX, this.graceMs / 2)) this.since = monotonic
    this.drift = drift
    return Math.max(0, this.since + this.graceMs - monotonic)
  }
}
