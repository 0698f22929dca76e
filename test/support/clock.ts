/** A clock that moves only when the test advances it. */
export class Clock {
  /** Milliseconds since 1970. */
  time: number

  constructor(time: number) {
    this.time = time
  }

  readonly now = (): number => this.time

  /** Advances by the given seconds; returns the time before. */
  advance(seconds = 1): number {
    const before = this.time
    this.time += seconds * 1000
    return before
  }
}
