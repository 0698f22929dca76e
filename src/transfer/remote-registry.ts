import { LRUCache } from 'lru-cache'
import { parseChallenges } from '../domain/access/challenge.ts'
import { readObject } from './response-body.ts'
import { type Send, TransferError } from './source.ts'

/** A registry to copy from. */
export interface RemoteRegistry {
  /** `https://registry.example:5000` */
  url: URL
  username?: string | undefined
  password?: string | undefined
  /** PEM text of authorities to trust instead of the system's. */
  authorities?: string | undefined
}

/** How long a request can take until its response begins. */
const RESPONSE_MS_MAX = 60_000
/** How many repositories have their tokens cached. */
const TOKENS_MAX = 100
const TOKEN_BYTES_MAX = 256 * 1024
/** How often a request that the registry temporarily refuses is retried, and the longest wait. */
const TRIES_MAX = 5
const WAIT_SECONDS_MAX = 60

/** Returns a function that sends requests to a registry, with the token or the password that it asks for. */
export function openRemoteRegistry({ url, username, password, authorities }: RemoteRegistry): Send {
  const tokens = new LRUCache<string, string>({ max: TOKENS_MAX })
  const tls = authorities === undefined ? {} : { tls: { ca: authorities } }
  const basic = username === undefined ? undefined : basicOf(username, password ?? '')
  let header = basic
  const request = async (target: URL, init: RequestInit, authorization: string | undefined) => {
    const headers = new Headers(init.headers)
    if (authorization !== undefined) headers.set('authorization', authorization)
    const deadline = new AbortController()
    const timer = setTimeout(() => deadline.abort(), RESPONSE_MS_MAX)
    try {
      return await fetch(target, { ...init, ...tls, headers, signal: deadline.signal })
    } catch (cause) {
      throw new TransferError(`${url.origin} does not answer: ${(cause as Error).message}`, { cause })
    } finally {
      clearTimeout(timer)
    }
  }
  const tokenFor = async (challenge: Readonly<Record<string, string>>): Promise<string> => {
    const { realm = '', service, scope } = challenge
    const target = parseRealm(realm, url)
    if (service !== undefined) target.searchParams.set('service', service)
    if (scope !== undefined) target.searchParams.set('scope', scope)
    const response = await request(target, {}, basic)
    if (!response.ok) throw new TransferError(`${target.origin} refused to give a token: ${response.status}`)
    const { token, access_token } = await readObject(response, TOKEN_BYTES_MAX)
    return `Bearer ${token ?? access_token ?? ''}`
  }
  const authorized = async (target: URL, init: RequestInit): Promise<Response> => {
    const repository = /^\/v2\/(.+)\/(manifests|blobs|tags|referrers)\//.exec(target.pathname)?.[1] ?? ''
    const response = await request(target, init, tokens.get(repository) ?? header)
    if (response.status !== 401) return response
    const challenges = parseChallenges(response.headers.get('www-authenticate') ?? '')
    const bearer = challenges.find(({ scheme }) => scheme === 'bearer')
    if (bearer === undefined) {
      if (basic === undefined || header === basic) throw refused(url)
      header = basic
      return await request(target, init, basic)
    }
    tokens.set(repository, await tokenFor(bearer.parameters))
    const again = await request(target, init, tokens.get(repository))
    if (again.status === 401) throw refused(url)
    return again
  }
  return async (path, init = {}) => {
    const target = new URL(path, url)
    for (let tries = 1; ; tries++) {
      const response = await authorized(target, init)
      if ((response.status !== 429 && response.status !== 503) || tries === TRIES_MAX) return response
      const seconds = Number(response.headers.get('retry-after') ?? 2 ** tries)
      await Bun.sleep(Math.min(Number.isFinite(seconds) ? seconds : 2 ** tries, WAIT_SECONDS_MAX) * 1000)
    }
  }
}

function basicOf(username: string, password: string): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`
}

/**
 * Parses the URL where a registry issues tokens. It must be https, unless the registry itself uses http, because the
 * password is sent there.
 */
function parseRealm(realm: string, url: URL): URL {
  const target = URL.parse(realm, url.href)
  if (target?.protocol === 'https:' || (target?.protocol === 'http:' && url.protocol === 'http:'))
    return target
  throw new TransferError(
    `${url.origin} asks for a token from "${realm.slice(0, 200)}": expected an https:// URL`,
  )
}

function refused({ origin }: URL): TransferError {
  return new TransferError(`${origin} refuses the credentials: pass --username and --password-file`)
}
