/** A clock that stands until it is told to go on. */
export class Clock {
  /** Milliseconds since 1970. */
  time: number

  constructor(time: number) {
    this.time = time
  }

  readonly now = (): number => this.time

  /** Goes on by so many seconds; answers the time before. */
  advance(seconds = 1): number {
    const before = this.time
    this.time += seconds * 1000
    return before
  }
}
