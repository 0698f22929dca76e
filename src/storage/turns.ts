/** How many bodies are read at once. The others wait, and take no memory meanwhile. */
const PLACES = 8

/** How many bytes of a body are read in one turn before it goes to the end of the queue. */
const TURN_BYTES = 128 * 1024 * 1024

/** A body slower than this rate, which is mostly waited for, gives up its place. */
const SLOW_BYTES_PER_SECOND = 10 * 1024 * 1024
/** How many bytes such a body may send before it needs a place again. */
const SLOW_BYTES = 1024 * 1024

/** A body that just got a place is checked early, so that many slow clients do not keep a fast one waiting. */
const FIRST_CHECK_MILLISECONDS = 20

/**
 * Limits how many large uploads are read at a time. A body that is read more slowly than it arrives fills some MiB of
 * buffers in the runtime and the kernel; a body whose reading has not begun does not. Waiting clients take turns, so
 * that one with many uploads does not keep the others waiting.
 */
export class Turns {
  private free = PLACES
  /** The waiting bodies, by client. The client that has waited longest since its last place comes first. */
  private readonly waiting = new Map<string, (() => void)[]>()

  /**
   * Begins a body's turn. One of at most `SLOW_BYTES` bytes needs no place.
   *
   * @param client returns the client that sends the body
   */
  begin(bytes: number | undefined, client: () => string = () => ''): Turn {
    const isSmall = bytes !== undefined && bytes <= SLOW_BYTES
    return new Turn(this, client, isSmall ? Number.POSITIVE_INFINITY : 0)
  }

  enter(client: () => string): Promise<void> | undefined {
    if (this.free > 0) {
      this.free--
      return undefined
    }
    const { promise, resolve } = Promise.withResolvers<void>()
    const name = client()
    const others = this.waiting.get(name)
    if (others) others.push(resolve)
    else this.waiting.set(name, [resolve])
    return promise
  }

  leave(): void {
    const [first] = this.waiting
    if (first === undefined) {
      this.free++
      return
    }
    const [client, bodies] = first
    this.waiting.delete(client)
    const next = bodies.shift()
    if (bodies.length > 0) this.waiting.set(client, bodies)
    next?.()
  }
}

/** One body's place among those that are being read. */
export class Turn {
  private readonly turns: Turns
  private readonly client: () => string
  private hasPlace = false
  /** How many more bytes may be read with the place, or without one. */
  private left: number
  private checked = performance.now()
  /** The bytes received, and the milliseconds spent waiting for the body, since the last check. */
  private brought = 0
  private waited = 0
  private waitingSince: number | undefined

  constructor(turns: Turns, client: () => string, exempt: number) {
    this.turns = turns
    this.client = client
    this.left = exempt
  }

  /** Waits until the body may be read. From then on, the time counts as waiting for the body. */
  async take(): Promise<void> {
    if (this.left <= 0) {
      this.end()
      await this.turns.enter(this.client)
      this.hasPlace = true
      this.left = TURN_BYTES
      this.checked = performance.now()
      this.brought = 0
      this.waited = 0
      setTimeout(() => this.check(performance.now()), FIRST_CHECK_MILLISECONDS)
    }
    this.waitingSince = performance.now()
  }

  came(bytes: number): void {
    this.left -= bytes
    this.brought += bytes
    this.stopWaiting(performance.now())
    this.waitingSince = undefined
  }

  /** Gives the place to another body if this one does not need it. Call it periodically. */
  check(now: number): void {
    this.stopWaiting(now)
    const milliseconds = now - this.checked
    const isSlow =
      this.waited > milliseconds / 2 && this.brought < (SLOW_BYTES_PER_SECOND * milliseconds) / 1000
    this.checked = now
    this.brought = 0
    this.waited = 0
    if (!this.hasPlace || !isSlow) return
    this.end()
    this.left = SLOW_BYTES
  }

  end(): void {
    if (this.hasPlace) this.turns.leave()
    this.hasPlace = false
  }

  private stopWaiting(now: number): void {
    if (this.waitingSince === undefined) return
    this.waited += now - Math.max(this.waitingSince, this.checked)
    this.waitingSince = now
  }
}
