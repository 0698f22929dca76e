import { LRUCache } from 'lru-cache'

/** How many repositories with recent failures are remembered. */
const REPOSITORIES_MAX = 1000

/**
 * How a request to an endpoint ended.
 * - `succeeded`: a response that says nothing against the endpoint, such as 200, 401 or 404
 * - `failed`: the endpoint responded, but the request failed, for example with 503
 * - `silent`: the endpoint accepted the connection and sent no response
 * - `unreachable`: no connection was made
 * - `left`: the request was cancelled before it had a result
 */
export type RequestEnd = 'succeeded' | 'failed' | 'silent' | 'unreachable' | 'left'

/**
 * Decides whether requests are sent to an endpoint. Failures count for the repository, so that trouble with one image
 * does not affect others. They count for the whole endpoint only if no connection is made, or if several repositories
 * in a row get no response.
 */
export class EndpointBreaker {
  private readonly monotonic: () => number
  private readonly endpoint: Breaker
  private readonly repositories = new LRUCache<string, Breaker>({ max: REPOSITORIES_MAX })
  /** The repositories that got no response since the endpoint's last one. */
  private readonly silent = new Set<string>()

  /** @param monotonic milliseconds since an arbitrary time */
  constructor(monotonic: () => number) {
    this.monotonic = monotonic
    this.endpoint = new Breaker(monotonic)
  }

  /** Whether all requests are blocked now. */
  get isOpen(): boolean {
    return this.endpoint.isOpen
  }

  /** Whether requests for a repository are blocked now. */
  isOpenFor(repository: string): boolean {
    return this.endpoint.isOpen || (this.repositories.get(repository)?.isOpen ?? false)
  }

  /** Milliseconds until the next request for a repository is let through; 0 if one may be sent now. */
  pauseMs(repository: string): number {
    return Math.max(this.endpoint.pauseMs, this.repositories.get(repository)?.pauseMs ?? 0)
  }

  /**
   * Call it before a request. Returns undefined if the request must not be sent, and otherwise a function to call with
   * how it ended.
   *
   * @param isForced whether it is sent, as a trial, even if requests are blocked
   */
  enter(repository: string, isForced = false): ((end: RequestEnd) => void) | undefined {
    if (this.isOpenFor(repository) && !isForced) return undefined
    const isTrial = !this.endpoint.isClosed
    const own = this.repositories.get(repository) ?? new Breaker(this.monotonic)
    this.repositories.set(repository, own)
    const letThrough = { endpoint: this.endpoint.enter(isForced), own: own.enter(isForced) }
    return (end) => {
      this.endForEndpoint(repository, end, isTrial, letThrough.endpoint)
      endForRepository(end, letThrough.own)
      if (own.isClosed && end === 'succeeded') this.repositories.delete(repository)
    }
  }

  private endForEndpoint(
    repository: string,
    end: RequestEnd,
    isTrial: boolean,
    endpoint: LetThrough | undefined,
  ): void {
    if (end === 'succeeded' || end === 'failed') {
      this.silent.clear()
      endpoint?.succeeded()
    } else if (end === 'left' || (this.silent.has(repository) && end === 'silent' && !isTrial)) {
      endpoint?.left()
    } else {
      this.silent.add(repository)
      endpoint?.failed()
      // The names are needed only until the breaker opens, which bounds their number.
      if (!this.endpoint.isClosed) this.silent.clear()
    }
  }
}

/** Without a connection, nothing is known about the repository. */
function endForRepository(end: RequestEnd, own: LetThrough | undefined): void {
  if (end === 'succeeded') own?.succeeded()
  else if (end === 'left' || end === 'unreachable') own?.left()
  else own?.failed()
}

/** How many consecutive failures open the breaker. */
const FAILURES_MAX = 3
/** How long the first pause is. */
const PAUSE_MILLISECONDS = 5000
/** The longest pause. Each pause is twice as long as the previous one. */
const PAUSE_MILLISECONDS_MAX = 300_000
/** A trial that has not ended after this long is given up, and another request becomes the trial. */
const TRIAL_MILLISECONDS_MAX = 60_000

/** A request that a breaker has let through. Call one of its methods when the request has ended. */
interface LetThrough {
  /** Records a success. */
  succeeded(): void
  failed(): void
  /** Records that the request ended without a result, for example because it was cancelled. */
  left(): void
}

/**
 * A circuit breaker: sends no requests where recent ones failed. After a pause, one request is let through, the trial,
 * and its result alone decides whether the breaker closes or pauses again.
 */
export class Breaker {
  private readonly monotonic: () => number
  private failures = 0
  private pauses = 0
  /** 0 while the breaker is closed. */
  private openUntil = 0
  /** When the running trial is given up; 0 without one. */
  private trialUntil = 0
  /** Changes when the breaker opens, and with each trial, so that results of earlier requests are ignored. */
  private round = 0

  /** @param monotonic milliseconds since an arbitrary time */
  constructor(monotonic: () => number) {
    this.monotonic = monotonic
  }

  /** Whether requests are blocked now. */
  get isOpen(): boolean {
    return !this.isClosed && this.monotonic() < Math.max(this.openUntil, this.trialUntil)
  }

  /** Whether requests are let through without a trial. */
  get isClosed(): boolean {
    return this.openUntil === 0
  }

  /** Milliseconds until the next request is let through; 0 if one may be sent now, or a trial is running. */
  get pauseMs(): number {
    return this.isClosed ? 0 : Math.max(0, this.openUntil - this.monotonic())
  }

  /**
   * Call it before a request. Returns undefined if the request must not be sent.
   *
   * @param isForced whether it is sent, as a trial, even if requests are blocked
   */
  enter(isForced = false): LetThrough | undefined {
    if (this.isOpen && !isForced) return undefined
    if (!this.isClosed) {
      this.trialUntil = this.monotonic() + TRIAL_MILLISECONDS_MAX
      this.round++
    }
    const { round } = this
    const inRound = (work: () => void) => () => {
      if (this.round === round) work()
    }
    return {
      succeeded: inRound(() => this.close()),
      failed: inRound(() => this.fail()),
      left: inRound(() => {
        this.trialUntil = 0
      }),
    }
  }

  private close(): void {
    this.failures = 0
    this.pauses = 0
    this.openUntil = 0
    this.trialUntil = 0
  }

  private fail(): void {
    this.trialUntil = 0
    this.failures++
    if (this.failures < FAILURES_MAX) return
    const pause = Math.min(PAUSE_MILLISECONDS * 2 ** this.pauses, PAUSE_MILLISECONDS_MAX)
    this.pauses++
    this.openUntil = this.monotonic() + pause
    this.round++
  }
}
