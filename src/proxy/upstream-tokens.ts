import { LRUCache } from 'lru-cache'
import type { UpstreamCredentials } from '../config/upstreams.ts'
import { type Challenge, parseChallenges } from '../domain/challenge.ts'
import type { HeldAnswer } from './answer-memory.ts'
import { UpstreamError } from './upstream-error.ts'

/** Scopes whose token is remembered. */
const TOKENS_MAX = 1000

/** How long a token is good for when its service does not say (Docker's token protocol). */
const EXPIRES_SECONDS = 60
/** A token is not used in its last seconds. */
const SPARE_SECONDS = 10

/** A longer token would not fit into the header of a request. */
const TOKEN_CHARACTERS_MAX = 32 * 1024

/** Bytes of a token service's answer. */
const ANSWER_BYTES_MAX = 256 * 1024

/** Sends a request to a token service, whose address is checked. It has a deadline of its own. */
export type FetchToken = (url: URL, headers: Record<string, string>) => Promise<Response>

/**
 * The `Authorization` of requests to one endpoint: nothing until it asks for something, then what its challenge asks
 * for. Tokens are remembered by scope until shortly before they expire; all who need one at a time share one request.
 */
export class UpstreamTokens {
  private readonly credentials: UpstreamCredentials
  private readonly fetchToken: FetchToken
  private readonly monotonic: () => number
  private readonly tokens = new LRUCache<string, { header: string; until: number }>({ max: TOKENS_MAX })
  private readonly flights = new Map<string, Promise<string>>()
  private isBasic = false

  constructor(credentials: UpstreamCredentials, fetchToken: FetchToken, monotonic: () => number) {
    this.credentials = credentials
    this.fetchToken = fetchToken
    this.monotonic = monotonic
  }

  /** What to send with a request of this scope; undefined for nothing. */
  find(scope: string): string | undefined {
    const { token } = this.credentials
    if (token !== undefined) return `Bearer ${token}`
    if (this.isBasic) return this.basic()
    const known = this.tokens.get(scope)
    return known !== undefined && known.until > this.monotonic() ? known.header : undefined
  }

  /**
   * What to send after a 401 with this header; undefined when nothing else than `sent` can be had.
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
    const response = await this.fetchToken(url, basic === undefined ? {} : { authorization: basic })
    const { token, seconds } = await readToken(response, url)
    const header = `Bearer ${token}`
    const until = this.monotonic() + Math.max(0, seconds - SPARE_SECONDS) * 1000
    this.tokens.set(scope, { header, until })
    return header
  }
}

/** What the promise brings, unless the signal is aborted first: then its reason is thrown. */
async function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted()
  const { promise: aborted, reject } = Promise.withResolvers<never>()
  const abort = () => reject(signal.reason)
  signal.addEventListener('abort', abort)
  try {
    return await Promise.race([promise, aborted])
  } finally {
    signal.removeEventListener('abort', abort)
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

async function readToken(response: Response, { host }: URL): Promise<{ token: string; seconds: number }> {
  const text = new TextDecoder().decode(
    await readBounded(response, ANSWER_BYTES_MAX, `the token service ${host}`),
  )
  let answer: Record<string, unknown> = {}
  try {
    answer = Object(JSON.parse(text))
  } catch {
    // An answer that is no JSON has no token.
  }
  const token = answer.token ?? answer.access_token
  if (typeof token !== 'string' || !/^[\x21-\x7e]+$/.test(token)) {
    throw new UpstreamError('wrong', `the token service ${host} answers without a token`)
  }
  if (token.length > TOKEN_CHARACTERS_MAX) {
    throw new UpstreamError('wrong', `the token service ${host} sends a token of ${token.length} characters`)
  }
  const expires = Number(answer.expires_in)
  return { token, seconds: expires > 0 ? expires : EXPIRES_SECONDS }
}

/**
 * Reads a body to its end, and no further than a bound.
 * @throws UpstreamError `wrong` for one that is longer, `unavailable` for one that breaks off
 */
export async function readBounded(
  response: Response,
  bytesMax: number,
  who: string,
  memory?: HeldAnswer,
): Promise<Uint8Array<ArrayBuffer>> {
  const chunks: Uint8Array[] = []
  let length = 0
  try {
    for await (const chunk of response.body ?? []) {
      length += chunk.length
      if (length > bytesMax) break
      memory?.grow(length)
      chunks.push(chunk)
    }
  } catch (cause) {
    if (cause instanceof UpstreamError) throw cause
    throw new UpstreamError('unavailable', `the answer of ${who} breaks off`, { cause, isTransport: true })
  }
  if (length > bytesMax)
    throw new UpstreamError('wrong', `the answer of ${who} is longer than ${bytesMax} bytes`)
  const bytes = new Uint8Array(length)
  let at = 0
  for (const chunk of chunks) {
    bytes.set(chunk, at)
    at += chunk.length
  }
  return bytes
}
