import type { UpstreamSettings } from '../../config/upstreams.ts'
import { Deadline, type TimeLimits } from './body.ts'
import type { Environment } from './connections.ts'
import { Endpoint, type EndpointRequest, type LimitedKind } from './endpoint.ts'
import { UpstreamError, type UpstreamErrorKind } from './failure.ts'
import { type Resolve, systemResolve } from './targets.ts'

/** How long a requested check waits. */
const REACH_SECONDS_MAX = 10

export type RequestKind = Exclude<LimitedKind, 'token'>

/** A host that has limited a kind of requests, and for how many milliseconds more. */
export interface Limit {
  host: string
  leftMs: number
}

export interface EndpointsOptions {
  monotonic: () => number
  limits: TimeLimits
  resolve?: Resolve
  /** The variables that can name proxies. */
  environment?: Environment
  /** Called with the result of each request. */
  onRequest?: (upstream: string, kind: RequestKind, result: 'ok' | UpstreamErrorKind) => void
  /** Called for each response of the registry itself. */
  onAnswer: (headers: Headers) => void
}

/** How long an upstream may take until the headers of a response. */
export interface AnswerTime {
  deadlineMs: number
  /** How long clients wait, if that is shorter. Within this time, each endpoint is asked. */
  clientWaitMs?: number
}

/** A question to an upstream, which each endpoint can be asked. */
export interface Question extends AnswerTime {
  kind: RequestKind
  /** The scope that a token needs. */
  scope: string
  /** How many of the first endpoints to ask last. */
  avoid?: number
}

/** Sends a request to one endpoint. */
export type Send = (asked: SentRequest) => Promise<Response>

export type SentRequest = Omit<EndpointRequest, 'kind' | 'scope' | 'signal'> & { signal?: AbortSignal }

/** The hosts of one upstream: its registry and that registry's mirrors, in the order in which they are asked. */
export class Endpoints {
  private readonly settings: UpstreamSettings
  private readonly options: EndpointsOptions
  private readonly endpoints: readonly Endpoint[]

  constructor(settings: UpstreamSettings, options: EndpointsOptions) {
    this.settings = settings
    this.options = options
    const { monotonic, limits, onAnswer, resolve = systemResolve, environment = process.env } = options
    this.endpoints = settings.urls.map((url, at) => {
      const { redirects, proxy, ca } = settings
      // A mirror is another party, so it never gets the upstream's credentials.
      const credentials = at === 0 ? settings.credentials : {}
      const own = { url, redirects, proxy, ca, credentials }
      return new Endpoint({ ...own, resolve, environment, limits, monotonic, onAnswer })
    })
  }

  /** Whether requests can be sent now. */
  get isUp(): boolean {
    return !this.settings.offline && this.endpoints.some(({ breaker }) => !breaker.isOpen)
  }

  /** Whether requests of a scope can be sent now. */
  isUpFor(scope: string): boolean {
    return !this.settings.offline && this.endpoints.some(({ breaker }) => !breaker.isOpenFor(scope))
  }

  /** Returns the endpoints that are not asked for a kind of requests, because they have limited them. */
  limits(kind: LimitedKind): Limit[] {
    return this.endpoints
      .map((endpoint) => ({ host: endpoint.host, leftMs: endpoint.limitedMs(kind) }))
      .filter(({ leftMs }) => leftMs > 0)
  }

  /**
   * Asks the endpoints in order until one has the content. The remaining time is shared among those that have not been
   * asked, so that a silent one leaves time for its mirrors. Throws the first error other than "not found", if there is
   * one.
   */
  async ask<T>(question: Question, work: (send: Send) => Promise<T>): Promise<T> {
    const { kind, scope, avoid = 0 } = question
    const { name } = this.settings
    const { monotonic, limits, onRequest } = this.options
    this.throwIfOffline()
    const began = monotonic()
    const order = [...this.endpoints.slice(avoid % this.endpoints.length), ...this.endpoints].slice(
      0,
      this.endpoints.length,
    )
    let failure: UpstreamError | undefined
    for (const [at, endpoint] of order.entries()) {
      const later = order.slice(at + 1).filter((one) => one.canAsk(kind, scope))
      const shareMs = shareOf(question, monotonic() - began, later.length)
      if (shareMs <= 0) break
      try {
        const result = await askOne(
          endpoint,
          question,
          { headersMs: shareMs, bodyMs: limits.manifestMs },
          work,
        )
        onRequest?.(name, kind, 'ok')
        return result
      } catch (error) {
        if (!(error instanceof UpstreamError)) throw error
        onRequest?.(name, kind, error.kind)
        if (failure === undefined || failure.kind === 'absent') failure = error
      }
    }
    throw failure ?? new UpstreamError('unavailable', `${name} does not answer in time`, { isTimeout: true })
  }

  /** Checks whether the registry responds and accepts the configured credentials. Throws an UpstreamError if not. */
  async reach(): Promise<void> {
    this.throwIfOffline()
    const deadline = new Deadline(REACH_SECONDS_MAX * 1000)
    try {
      await this.endpoints[0]?.request({ method: 'GET', path: '/v2/', scope: '', signal: deadline.signal })
    } finally {
      deadline.extend(undefined)
    }
  }

  /** Closes idle connections. */
  close(): void {
    for (const endpoint of this.endpoints) endpoint.close()
  }

  private throwIfOffline(): void {
    const { name, offline } = this.settings
    if (offline) throw new UpstreamError('unavailable', `${name} is set to offline`)
  }
}

/** Returns how many milliseconds one endpoint has, if `later` others can be asked after it. */
function shareOf(
  { deadlineMs, clientWaitMs = deadlineMs }: Question,
  passedMs: number,
  later: number,
): number {
  const leftMs = deadlineMs - passedMs
  if (later === 0) return leftMs
  const clientLeftMs = Math.min(clientWaitMs, deadlineMs) - passedMs
  return (clientLeftMs > 0 ? clientLeftMs : leftMs) / (later + 1)
}

/** @param bodyMs how long a body may take, unless it is a blob's */
async function askOne<T>(
  endpoint: Endpoint,
  { kind, scope }: Question,
  { headersMs, bodyMs }: { headersMs: number; bodyMs: number },
  work: (send: Send) => Promise<T>,
): Promise<T> {
  const deadline = new Deadline(headersMs)
  try {
    return await work(async (asked) => {
      const { signal } = deadline
      const both = asked.signal === undefined ? signal : AbortSignal.any([signal, asked.signal])
      const response = await endpoint.request({ ...asked, kind, scope, signal: both })
      if (asked.method === 'GET') deadline.extend(kind === 'blob' ? undefined : bodyMs)
      return response
    })
  } finally {
    deadline.extend(undefined)
  }
}
