/** Failures in a row after which an endpoint is left alone, */
const FAILURES_MAX = 3
/** at first for so long, */
const PAUSE_MILLISECONDS = 5000
/** and each time for twice as long, up to this. */
const PAUSE_MILLISECONDS_MAX = 300_000

/**
 * Leaves an endpoint alone that does not answer. After a pause one request tries; when it succeeds, everything is as
 * if nothing had been.
 */
export class Breaker {
  private readonly monotonic: () => number
  private failures = 0
  private pauses = 0
  private openUntil = 0
  private isTrying = false

  /** @param monotonic milliseconds since some moment */
  constructor(monotonic: () => number) {
    this.monotonic = monotonic
  }

  /** Whether requests are not sent now. */
  get isOpen(): boolean {
    if (this.openUntil === 0) return false
    return this.isTrying || this.monotonic() < this.openUntil
  }

  /** Milliseconds until the next request may try; 0 when one may now. */
  get pauseMs(): number {
    return this.isOpen ? Math.max(0, this.openUntil - this.monotonic()) : 0
  }

  /** A request is about to be sent. Answers false when it must not be. */
  enter(): boolean {
    if (this.isOpen) return false
    if (this.openUntil !== 0) this.isTrying = true
    return true
  }

  /** The endpoint has answered, whatever it said. */
  answered(): void {
    this.failures = 0
    this.pauses = 0
    this.openUntil = 0
    this.isTrying = false
  }

  /** The endpoint has not answered. */
  failed(): void {
    this.isTrying = false
    this.failures++
    if (this.failures < FAILURES_MAX) return
    const pause = Math.min(PAUSE_MILLISECONDS * 2 ** this.pauses, PAUSE_MILLISECONDS_MAX)
    this.pauses++
    this.openUntil = this.monotonic() + pause
  }

  /** The request ended by the will of who asked: it tells nothing of the endpoint. */
  left(): void {
    this.isTrying = false
  }
}
