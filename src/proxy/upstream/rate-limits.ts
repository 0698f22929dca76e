/**
 * What an endpoint limits separately. Checks are requests for manifests, too, but Docker Hub, for example, counts no
 * HEAD as a pull.
 */
export type LimitedKind = 'manifest' | 'check' | 'blob' | 'list' | 'token'

/** The kinds of requests that an endpoint has refused with 429, and until when (RFC 6585, 4). */
export class RateLimits {
  private readonly monotonic: () => number
  private readonly until = new Map<LimitedKind, number>()

  /** @param monotonic milliseconds since an arbitrary time */
  constructor(monotonic: () => number) {
    this.monotonic = monotonic
  }

  /** Records a 429 with its Retry-After in seconds. Without one, nothing is known about the next request. */
  note(kind: LimitedKind, retryAfterSeconds: number | undefined): void {
    if (retryAfterSeconds !== undefined) this.until.set(kind, this.monotonic() + retryAfterSeconds * 1000)
  }

  /** Returns for how many milliseconds no request of a kind may be sent; 0 if one may be sent now. */
  leftMs(kind: LimitedKind): number {
    return Math.max(0, (this.until.get(kind) ?? 0) - this.monotonic())
  }
}
