import { turn } from '../turn.ts'
/**
 * Lets one waiter continue per turn of the event loop, so that other requests are served between two of them. Reading and
 * sending a manifest of 4 MiB takes up to 30 ms.
 */
export class LoopTurns {
  private last: Promise<void> = Promise.resolve()

  /** Waits until nobody else has continued in this turn of the event loop. */
  next(): Promise<void> {
    const own = this.last
    this.last = own.then(turn)
    return own
  }
}
