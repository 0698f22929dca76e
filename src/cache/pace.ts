/**
 * Limits the bytes that are sent in one turn of the event loop, so that small requests are served in between. Senders
 * beyond the limit wait for the next turn, in order.
 */
export class Pace {
  private readonly bytesPerTurn: number
  private left: number
  private readonly waiting: { bytes: number; resolve: () => void }[] = []
  private isScheduled = false

  constructor(bytesPerTurn: number) {
    this.bytesPerTurn = bytesPerTurn
    this.left = bytesPerTurn
  }

  /** Takes bytes of the current turn. Returns undefined if they may be sent now. */
  take(bytes: number): Promise<void> | undefined {
    this.schedule()
    if (this.waiting.length === 0 && this.left > 0) {
      this.left -= bytes
      return undefined
    }
    const { promise, resolve } = Promise.withResolvers<void>()
    this.waiting.push({ bytes, resolve })
    return promise
  }

  private schedule(): void {
    if (this.isScheduled) return
    this.isScheduled = true
    setImmediate(() => this.turn())
  }

  private turn(): void {
    this.isScheduled = false
    this.left = this.bytesPerTurn
    let served = 0
    for (const { bytes, resolve } of this.waiting) {
      if (this.left <= 0) break
      this.left -= bytes
      resolve()
      served++
    }
    this.waiting.splice(0, served)
    if (served > 0) this.schedule()
  }
}

/** How many bytes of a stream pass before the next one gets a turn. */
const TURN_BYTES = 64 * 1024

/** Timers are late by some milliseconds. This much time is made up for, so that the rate is reached all the same. */
const LATE_MILLISECONDS = 20

interface Waiting {
  /** The bytes that have not had their turn. */
  left: number
  resolve: () => void
}

export interface RateOptions {
  /** Milliseconds since an arbitrary time. */
  monotonic: () => number
  /** Calls `work` once after the given milliseconds. */
  after?: (milliseconds: number, work: () => void) => void
}

/**
 * Limits the total rate of streams, in bytes per second. Streams take turns in the order of arrival, some bytes each, so
 * a large one does not keep the others waiting.
 */
export class Rate {
  private readonly bytesPerSecond: number
  private readonly monotonic: () => number
  private readonly after: (milliseconds: number, work: () => void) => void
  private readonly waiting: Waiting[] = []
  /** The time by which the bytes so far are within the rate. */
  private due = 0
  private isScheduled = false

  /** @param bytesPerSecond 0 for no limit */
  constructor(bytesPerSecond: number, { monotonic, after = later }: RateOptions) {
    this.bytesPerSecond = bytesPerSecond
    this.monotonic = monotonic
    this.after = after
  }

  /**
   * Waits until received bytes are within the rate. Returns undefined if there is no limit. Rejects when the signal is
   * aborted.
   */
  take(bytes: number, signal?: AbortSignal): Promise<void> | undefined {
    if (this.bytesPerSecond === 0) return undefined
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const own = { left: bytes, resolve }
    const leave = () => {
      const at = this.waiting.indexOf(own)
      if (at >= 0) this.waiting.splice(at, 1)
      reject(signal?.reason)
    }
    if (this.waiting.length === 0) this.due = Math.max(this.due, this.monotonic() - LATE_MILLISECONDS)
    this.waiting.push(own)
    signal?.addEventListener('abort', leave)
    if (signal?.aborted) leave()
    this.serve()
    return promise.finally(() => signal?.removeEventListener('abort', leave))
  }

  /** Gives turns until the rate is reached. */
  private serve(): void {
    const now = this.monotonic()
    while (this.due <= now) {
      const next = this.waiting.shift()
      if (next === undefined) return
      const part = Math.min(next.left, TURN_BYTES)
      next.left -= part
      this.due += (part / this.bytesPerSecond) * 1000
      if (next.left > 0) this.waiting.push(next)
      else next.resolve()
    }
    if (this.isScheduled || this.waiting.length === 0) return
    this.isScheduled = true
    this.after(Math.ceil(this.due - now), () => {
      this.isScheduled = false
      this.serve()
    })
  }
}

function later(milliseconds: number, work: () => void): void {
  setTimeout(work, milliseconds)
}

/** A limited number of places, which requests take in order. */
export class Places {
  private free: number
  private readonly waiting: (() => void)[] = []

  constructor(count: number) {
    this.free = count
  }

  /** Whether somebody waits for a place. */
  get isWanted(): boolean {
    return this.waiting.length > 0
  }

  /** Takes a place. Returns undefined if one is free now. Rejects when the signal is aborted before. */
  take(signal?: AbortSignal): Promise<void> | undefined {
    if (this.free > 0) {
      this.free--
      return undefined
    }
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    this.waiting.push(resolve)
    const leave = () => {
      const at = this.waiting.indexOf(resolve)
      if (at < 0) return
      this.waiting.splice(at, 1)
      reject(signal?.reason)
    }
    signal?.addEventListener('abort', leave)
    if (signal?.aborted) leave()
    return promise.finally(() => signal?.removeEventListener('abort', leave))
  }

  give(): void {
    const next = this.waiting.shift()
    if (next) next()
    else this.free++
  }
}

/**
 * Takes a place among those of an upstream, and then one among those of all. Returns a function that gives both back, which
 * can be called more than once. Rejects when the signal is aborted before.
 */
export async function takePlaces(own: Places, all: Places, signal: AbortSignal): Promise<() => void> {
  signal.throwIfAborted()
  await own.take(signal)
  try {
    await all.take(signal)
  } catch (error) {
    own.give()
    throw error
  }
  let isTaken = true
  const give = () => {
    if (!isTaken) return
    isTaken = false
    all.give()
    own.give()
  }
  if (signal.aborted) give()
  signal.throwIfAborted()
  return give
}
