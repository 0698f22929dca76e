/** Bodies that are read at once; the others wait, and take no memory meanwhile. */
const PLACES = 8

/** What a body may bring in one turn before it goes to the end of the queue. */
const TURN_BYTES = 128 * 1024 * 1024

/** A body that brings less than this in a second, and is waited for most of the time, gives its place up, */
const SLOW_BYTES_PER_SECOND = 10 * 1024 * 1024
/** and brings so much before it needs a place again. */
const SLOW_BYTES = 1024 * 1024

/** Who has just got a place is looked at soon, so that many slow clients do not keep a fast one waiting. */
const FIRST_CHECK_MILLISECONDS = 20

/**
 * Lets large uploads be read some at a time. A body that is being read, but not as fast as it comes, fills buffers of
 * some MiB below this program; one that nobody has begun to read does not. The clients that wait take turns, so that one
 * with many uploads does not keep another one's waiting.
 */
export class Turns {
  private free = PLACES
  /** The bodies that wait, by client. The client that had a place longest ago is the first. */
  private readonly waiting = new Map<string, (() => void)[]>()

  /**
   * Begins a body's turn. One of at most `SLOW_BYTES` is not worth a place.
   *
   * @param client returns whose body it is
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

/** One body's place among those that are read. */
export class Turn {
  private readonly turns: Turns
  private readonly client: () => string
  private hasPlace = false
  /** Bytes that may still come, with the place or without one. */
  private left: number
  private checked = performance.now()
  /** What has come, and for how many milliseconds the body was waited for, since it was checked. */
  private brought = 0
  private waited = 0
  private waitingSince: number | undefined

  constructor(turns: Turns, client: () => string, exempt: number) {
    this.turns = turns
    this.client = client
    this.left = exempt
  }

  /** Waits until the body may be read on; from then on it is the body that is waited for. */
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

  /** To be called now and then: gives the place to another body when this one does not need it. */
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
