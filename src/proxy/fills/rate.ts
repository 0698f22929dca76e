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
