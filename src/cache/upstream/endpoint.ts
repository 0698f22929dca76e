import { LRUCache } from 'lru-cache'
import { type Challenge, parseChallenges } from '../../access/access.ts'
import type { UpstreamCredentials } from '../../config/upstreams.ts'
import {
  Deadline,
  errorOfStatus,
  readBounded,
  type TimeLimits,
  UpstreamError,
  unlessAborted,
} from './answer.ts'
import { EndpointBreaker, type RequestEnd } from './breaker.ts'
import { Connections, type ConnectionsOptions, type Resolve, Targets } from './connections.ts'

/** How many redirects of one request are followed. */
const REDIRECTS_MAX = 5

/** The largest response of a token service, in bytes. */
const TOKEN_BODY_BYTES_MAX = 256 * 1024

const REDIRECT_STATUSES: readonly number[] = [301, 302, 303, 307, 308]

/**
 * What an endpoint limits separately. Checks are requests for manifests, too, but Docker Hub, for example, counts no
 * HEAD as a pull.
 */
export type LimitedKind = 'manifest' | 'check' | 'blob' | 'list' | 'token'

interface EndpointOptions extends ConnectionsOptions {
  /** The registry's URL, without `/v2`. */
  url: URL
  credentials: UpstreamCredentials
  /** Hosts that redirects and realms may point to, whatever their addresses. */
  redirects: readonly string[]
  resolve: Resolve
  limits: TimeLimits
  /** Called for each response of the registry itself. */
  onAnswer?: (headers: Headers) => void
}

export interface EndpointRequest {
  method: 'GET' | 'HEAD'
  /** What a 429 of the registry limits; undefined for a requested check, which is always sent. */
  kind?: LimitedKind
  /** Begins with `/v2/`. */
  path: string
  headers?: Record<string, string>
  /** The scope that a token needs, which names the repository. Failures count for it. */
  scope: string
  /** Aborts the request and, after its headers, the body. */
  signal: AbortSignal
}

interface SentRequest extends EndpointRequest {
  /** Called for each response of the registry itself. */
  onAnswer: () => void
}

/** One host of an upstream: its connections, its tokens, and its breaker. */
export class Endpoint {
  readonly breaker: EndpointBreaker
  private readonly options: EndpointOptions
  private readonly connections: Connections
  private readonly targets: Targets
  private readonly tokens: Tokens
  /** The kinds of requests that were refused with 429, and until when (RFC 6585, 4). */
  private readonly limitedUntil = new Map<LimitedKind, number>()

  constructor(options: EndpointOptions) {
    const { url, redirects, resolve, credentials, monotonic } = options
    this.options = options
    this.breaker = new EndpointBreaker(monotonic)
    this.connections = new Connections(options)
    this.targets = new Targets(url, redirects, resolve, (target) => this.connections.proxyOf(target))
    this.tokens = new Tokens(credentials, (url, headers) => this.fetchToken(url, headers), monotonic)
  }

  get host(): string {
    return this.options.url.host
  }

  /** Whether a request can be sent now. */
  canAsk(kind: LimitedKind, scope: string): boolean {
    return !this.breaker.isOpenFor(scope) && this.limitedMs(kind) === 0
  }

  /** Returns for how many milliseconds no request of a kind is sent, because the registry has limited them. */
  limitedMs(kind: LimitedKind): number {
    return Math.max(0, (this.limitedUntil.get(kind) ?? 0) - this.options.monotonic())
  }

  /**
   * Sends a request, with a token if required, and follows redirects. Returns a successful response.
   * @throws UpstreamError for any other response
   */
  async request(asked: EndpointRequest): Promise<Response> {
    const { scope, signal, kind } = asked
    if (kind !== undefined) this.throwIfLimited(kind, this.host)
    const isForced = kind === undefined
    const end = this.breaker.enter(scope, isForced)
    if (end === undefined) throw this.unavailable('did not respond to recent requests', scope)
    let hasAnswered = false
    const onAnswer = () => {
      hasAnswered = true
    }
    try {
      const response = await unlessAborted(this.authorised({ ...asked, onAnswer }), signal)
      end('succeeded')
      return response
    } catch (error) {
      const failure = this.toError(error, scope)
      end(isForced ? 'left' : endOf(failure, hasAnswered, signal.aborted))
      throw failure
    }
  }

  /** Closes idle connections. */
  close(): void {
    this.connections.close()
  }

  private async authorised(asked: SentRequest): Promise<Response> {
    const { scope, signal } = asked
    let authorization = this.tokens.find(scope)
    let { response, from } = await this.follow(asked, authorization)
    // A challenge from another host is ignored, because it would choose where the credentials are sent.
    if (response.status === 401 && from === undefined) {
      const header = response.headers.get('www-authenticate')
      authorization = await this.tokens.answer(header, scope, authorization, signal)
      if (authorization !== undefined) {
        discard(response)
        ;({ response, from } = await this.follow(asked, authorization))
      }
    }
    if (response.status >= 200 && response.status < 300) return response
    discard(response)
    if (from === undefined) throw this.refused(asked.kind, this.host, response)
    // Only the registry decides whether the content exists. The link of a redirect may have expired.
    const { status } = response
    const what = `${from}, to which ${this.host} redirects, answers ${status}`
    throw new UpstreamError('unavailable', what, { status })
  }

  /**
   * Follows redirects manually, to check each target, and to never send the authorization to another host. Also
   * returns the other host that responded, if any.
   */
  private async follow(
    { method, path, headers, signal, onAnswer }: SentRequest,
    authorization: string | undefined,
  ): Promise<{ response: Response; from: string | undefined }> {
    const { url } = this.options
    const own = new URL(url.pathname.replace(/\/$/, '') + path, url)
    let at = own
    let target = await this.targets.check(own)
    for (let redirects = 0; ; redirects++) {
      const isOwn = at.origin === own.origin
      const response = await this.connections.send(target, {
        method,
        headers: { ...headers, ...(isOwn && authorization !== undefined && { authorization }) },
        signal,
      })
      if (isOwn) {
        onAnswer()
        this.options.onAnswer?.(response.headers)
      }
      const location = response.headers.get('location')
      if (!REDIRECT_STATUSES.includes(response.status) || location === null) {
        return { response, from: isOwn ? undefined : at.host }
      }
      discard(response)
      const next = URL.parse(location, at.href)
      if (next === null) throw new UpstreamError('wrong', `${at.host} redirects to what is not a URL`)
      if (redirects === REDIRECTS_MAX)
        throw new UpstreamError('wrong', `${own.host} redirects too many times`)
      target = await this.targets.check(next)
      at = next
    }
  }

  private async fetchToken(url: URL, headers: Record<string, string>): Promise<string> {
    const service = `the token service ${url.host}`
    this.throwIfLimited('token', service)
    const { firstByteMs, stallMs, manifestMs } = this.options.limits
    const deadline = new Deadline(firstByteMs)
    try {
      const target = await unlessAborted(this.targets.check(url), deadline.signal)
      const response = await this.connections.send(target, { headers, signal: deadline.signal })
      if (response.status !== 200) {
        discard(response)
        throw this.refused('token', service, response)
      }
      deadline.extend(manifestMs)
      const body = await readBounded(response, { who: service, bytesMax: TOKEN_BODY_BYTES_MAX, stallMs })
      return new TextDecoder().decode(body)
    } finally {
      deadline.extend(undefined)
    }
  }

  /** Returns the error for an unsuccessful response, and keeps what it limits until its Retry-After. */
  private refused(kind: LimitedKind | undefined, who: string, response: Response): UpstreamError {
    const error = errorOfStatus(who, response)
    const { retryAfterSeconds } = error
    if (error.kind === 'limited' && kind !== undefined && retryAfterSeconds !== undefined)
      this.limitedUntil.set(kind, this.options.monotonic() + retryAfterSeconds * 1000)
    return error
  }

  private throwIfLimited(kind: LimitedKind, who: string): void {
    const leftMs = this.limitedMs(kind)
    if (leftMs === 0) return
    const retryAfterSeconds = Math.ceil(leftMs / 1000)
    throw new UpstreamError('limited', `${who} answers 429`, { retryAfterSeconds })
  }

  private toError(error: unknown, scope: string): UpstreamError {
    if (error instanceof UpstreamError) return error
    const { name } = Object(error) as Error
    if (name === 'TimeoutError')
      return this.unavailable('does not answer in time', scope, { isTransport: true, isTimeout: true })
    if (name === 'AbortError')
      return this.unavailable('did not respond before the request was cancelled', scope)
    return new UpstreamError('unavailable', `${this.host} failed`, { cause: error })
  }

  private unavailable(
    what: string,
    scope: string,
    how: { isTransport?: true; isTimeout?: true } = {},
  ): UpstreamError {
    const retryAfterSeconds = Math.ceil(this.breaker.pauseMs(scope) / 1000) || undefined
    return new UpstreamError('unavailable', `${this.host} ${what}`, { ...how, retryAfterSeconds })
  }
}

/** Returns what a failure says about the endpoint, which may have answered before another host failed. */
function endOf(failure: UpstreamError, hasAnswered: boolean, isAborted: boolean): RequestEnd {
  if (!failure.isTransport) return isAborted ? 'left' : 'succeeded'
  if (hasAnswered) return 'failed'
  return failure.isUnconnected ? 'unreachable' : 'silent'
}

/** Cancels a response whose body is not read. */
export function discard(response: Response): void {
  response.body?.cancel().catch(() => {})
}

/** How many scopes have their tokens cached. */
const TOKENS_MAX = 1000

/** The default lifetime of a token (Docker's token protocol). */
const EXPIRES_SECONDS = 60
/** A token is not used in its last seconds. */
const SPARE_SECONDS = 10

/** A longer token would not fit into the header of a request. */
const TOKEN_CHARACTERS_MAX = 32 * 1024

/**
 * Provides the `Authorization` of requests to one endpoint: none until it sends a challenge, then what the challenge
 * asks for. Tokens are cached by scope until shortly before they expire. Concurrent callers share one request for a
 * token.
 */
class Tokens {
  private readonly credentials: UpstreamCredentials
  private readonly fetchToken: (url: URL, headers: Record<string, string>) => Promise<string>
  private readonly monotonic: () => number
  private readonly tokens = new LRUCache<string, { header: string; until: number }>({ max: TOKENS_MAX })
  private readonly flights = new Map<string, Promise<string>>()
  private isBasic = false

  /** @param fetchToken returns the body of a token service's response. It checks the address, and has its own limits. */
  constructor(credentials: UpstreamCredentials, fetchToken: Tokens['fetchToken'], monotonic: () => number) {
    this.credentials = credentials
    this.fetchToken = fetchToken
    this.monotonic = monotonic
  }

  /** Returns what to send with a request of this scope; undefined for nothing. */
  find(scope: string): string | undefined {
    const { token } = this.credentials
    if (token !== undefined) return `Bearer ${token}`
    if (this.isBasic) return this.basic()
    const known = this.tokens.get(scope)
    return known !== undefined && known.until > this.monotonic() ? known.header : undefined
  }

  /**
   * Returns what to send after a 401 with this header; undefined if only `sent` is available.
   * @throws UpstreamError
   */
  async answer(
    header: string | null,
    scope: string,
    sent: string | undefined,
    signal: AbortSignal,
  ): Promise<string | undefined> {
    if (this.credentials.token !== undefined) return undefined
    const challenges = parseChallenges(header ?? '')
    const bearer = challenges.find(({ scheme }) => scheme === 'bearer')
    if (bearer?.parameters.realm === undefined) {
      const basic = challenges.some(({ scheme }) => scheme === 'basic') ? this.basic() : undefined
      if (basic === undefined || basic === sent) return undefined
      this.isBasic = true
      return basic
    }
    const newest = this.find(scope)
    if (newest !== undefined && newest !== sent) return newest
    this.tokens.delete(scope)
    let flight = this.flights.get(scope)
    if (flight === undefined) {
      flight = this.request(bearer, scope).finally(() => this.flights.delete(scope))
      this.flights.set(scope, flight)
    }
    return await unlessAborted(flight, signal)
  }

  private basic(): string | undefined {
    const { username, password } = this.credentials
    if (username === undefined || password === undefined) return undefined
    return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`
  }

  private async request({ parameters }: Challenge, scope: string): Promise<string> {
    const { realm = '', service } = parameters
    const url = URL.parse(realm)
    if (url === null) {
      const named = JSON.stringify(realm.slice(0, 200))
      throw new UpstreamError('wrong', `its challenge names a realm that is not a URL: ${named}`)
    }
    if (service !== undefined) url.searchParams.set('service', service)
    if (scope !== '') url.searchParams.set('scope', scope)
    const basic = this.basic()
    const text = await this.fetchToken(url, basic === undefined ? {} : { authorization: basic })
    const { token, seconds } = readToken(text, url)
    const header = `Bearer ${token}`
    const until = this.monotonic() + Math.max(0, seconds - SPARE_SECONDS) * 1000
    this.tokens.set(scope, { header, until })
    return header
  }
}

function readToken(text: string, { host }: URL): { token: string; seconds: number } {
  let answer: Record<string, unknown> = {}
  try {
    answer = Object(JSON.parse(text))
  } catch {
    // A response that is not JSON has no token.
  }
  const token = answer.token ?? answer.access_token
  if (typeof token !== 'string' || !/^[\x21-\x7e]+$/.test(token)) {
    throw new UpstreamError('wrong', `the token service ${host} responded without a token`)
  }
  if (token.length > TOKEN_CHARACTERS_MAX) {
    throw new UpstreamError('wrong', `the token service ${host} sends a token of ${token.length} characters`)
  }
  const expires = Number(answer.expires_in)
  return { token, seconds: expires > 0 ? expires : EXPIRES_SECONDS }
}
