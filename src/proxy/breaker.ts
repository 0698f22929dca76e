/** How many consecutive failures open the breaker. */
const FAILURES_MAX = 3
/** How long the first pause is. */
const PAUSE_MILLISECONDS = 5000
/** The longest pause. Each pause is twice as long as the previous one. */
const PAUSE_MILLISECONDS_MAX = 300_000

/**
 * A circuit breaker: sends no requests to an endpoint that does not respond. After a pause, one request is let
 * through, and its success closes the breaker.
 */
export class Breaker {
  private readonly monotonic: () => number
  private failures = 0
  private pauses = 0
  private openUntil = 0
  private isTrying = false

  /** @param monotonic milliseconds since an arbitrary time */
  constructor(monotonic: () => number) {
    this.monotonic = monotonic
  }

  /** Whether requests are blocked now. */
  get isOpen(): boolean {
    if (this.openUntil === 0) return false
    return this.isTrying || this.monotonic() < this.openUntil
  }

  /** Milliseconds until the next request is let through; 0 if one may be sent now. */
  get pauseMs(): number {
    return this.isOpen ? Math.max(0, this.openUntil - this.monotonic()) : 0
  }

  /** Call it before a request. Returns false if the request must not be sent. */
  enter(): boolean {
    if (this.isOpen) return false
    if (this.openUntil !== 0) this.isTrying = true
    return true
  }

  /** Records that the endpoint has responded, whatever the response. */
  answered(): void {
    this.failures = 0
    this.pauses = 0
    this.openUntil = 0
    this.isTrying = false
  }

  /** Records that the endpoint has not responded. */
  failed(): void {
    this.isTrying = false
    this.failures++
    if (this.failures < FAILURES_MAX) return
    const pause = Math.min(PAUSE_MILLISECONDS * 2 ** this.pauses, PAUSE_MILLISECONDS_MAX)
    this.pauses++
    this.openUntil = this.monotonic() + pause
  }

  /** Records that the request was cancelled, which says nothing about the endpoint. */
  left(): void {
    this.isTrying = false
  }
}
