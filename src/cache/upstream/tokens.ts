import { LRUCache } from 'lru-cache'
import { type Challenge, parseChallenges } from '../../access/access.ts'
import type { UpstreamCredentials } from '../../config/upstreams.ts'
import { unlessAborted } from './body.ts'
import { UpstreamError } from './failure.ts'

/** How many scopes have their tokens cached. */
const TOKENS_MAX = 1000

/** The default lifetime of a token (Docker's token protocol). */
const EXPIRES_SECONDS = 60
/** A token is not used in its last seconds. */
const SPARE_SECONDS = 10

/** A longer token would not fit into the header of a request. */
const TOKEN_CHARACTERS_MAX = 32 * 1024

export interface UpstreamTokensOptions {
  credentials: UpstreamCredentials
  /** Returns the body of a token service's response. Checks its address, and has its own limits. */
  fetchToken: (url: URL, headers: Record<string, string>) => Promise<string>
  monotonic: () => number
}

/**
 * Provides the `Authorization` of requests to one endpoint: none until it sends a challenge, then what the challenge
 * asks for. Tokens are cached by scope until shortly before they expire. Concurrent callers share one request for a
 * token.
 */
export class UpstreamTokens {
  private readonly credentials: UpstreamCredentials
  private readonly fetchToken: UpstreamTokensOptions['fetchToken']
  private readonly monotonic: () => number
  private readonly tokens = new LRUCache<string, { header: string; until: number }>({ max: TOKENS_MAX })
  private readonly flights = new Map<string, Promise<string>>()
  private isBasic = false

  constructor({ credentials, fetchToken, monotonic }: UpstreamTokensOptions) {
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
    const url = parseRealm(realm)
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

function parseRealm(realm: string): URL {
  const url = URL.parse(realm)
  if (url !== null) return url
  throw new UpstreamError(
    'wrong',
    `its challenge names a realm that is not a URL: ${JSON.stringify(realm.slice(0, 200))}`,
  )
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
