import { type Access, type Authenticator, type Identity, NOBODY } from '../access/access.ts'
import type { AccountServices } from '../accounts/accounts.ts'
import type { Bodies, BodySource } from '../http/body.ts'
import type { ApiServices } from '../http/controller.ts'
import { RegistryError, registryError } from '../oci/error.ts'
import { parseRepositoryName, parseTag, type RepositoryName, type Tag } from '../oci/reference.ts'
import type { Blobs, UsageCounter } from '../registry/registry.ts'
import type { V1Image, V1Images } from './images.ts'

/** What the handlers of /v1 depend on. */
export interface V1Context {
  images: V1Images
  blobs: Blobs
  usage: UsageCounter
  repositories: ApiServices['repositories']
  accounts: AccountServices
  access: Access
  sessions: Sessions
  bodies: Bodies
  sourceOf: (request: Request) => BodySource
  /** Milliseconds since 1970. */
  now: () => number
  addressOf: (request: Request) => string
  /** Returns the scheme and host that the client used to reach this registry. */
  originOf: (request: Request) => string
  /** Called for each blob body that is sent, with its size in bytes and whether it is sent from a file. */
  onBlobBody: (bytes: number, isFile: boolean) => void
}

/** A request with any path. */
export interface V1Request {
  context: V1Context
  request: Request
  query: URLSearchParams
  identity: Identity
  /** What access was checked for: the repository in the path, or the one of the image in the path. */
  target: V1Target
  requestId: string
}

/** A request, as its handler sees it. */
export interface V1Exchange<K extends V1PathKind = V1PathKind> extends V1Request {
  path: Extract<V1Path, { kind: K }>
}

export interface V1Target {
  repository: RepositoryName
  /** The image, for paths with an image id. */
  image: V1Image | undefined
}

/** A parsed and validated path under /v1. */
export type V1Path =
  | { kind: 'ping' }
  | { kind: 'internalPing' }
  | { kind: 'search' }
  | { kind: 'users' }
  | { kind: 'user'; account: string }
  | { kind: 'repository'; name: RepositoryName }
  | { kind: 'images'; name: RepositoryName }
  | { kind: 'auth'; name: RepositoryName }
  | { kind: 'tags'; name: RepositoryName }
  | { kind: 'tag'; name: RepositoryName; tag: Tag }
  | { kind: 'json'; id: string }
  | { kind: 'ancestry'; id: string }
  | { kind: 'layer'; id: string }
  | { kind: 'checksum'; id: string }

export type V1PathKind = V1Path['kind']

/** The OpenAPI template of each kind of path. */
export const V1_PATH_TEMPLATES: Record<V1PathKind, string> = {
  ping: '/v1/_ping',
  internalPing: '/v1/_internal_ping',
  search: '/v1/search',
  users: '/v1/users/',
  user: '/v1/users/{account}/',
  repository: '/v1/repositories/{name}/',
  images: '/v1/repositories/{name}/images',
  auth: '/v1/repositories/{name}/auth',
  tags: '/v1/repositories/{name}/tags',
  tag: '/v1/repositories/{name}/tags/{tag}',
  json: '/v1/images/{id}/json',
  ancestry: '/v1/images/{id}/ancestry',
  layer: '/v1/images/{id}/layer',
  checksum: '/v1/images/{id}/checksum',
}

/**
 * Parses the path of a request, without its query, and ignores a trailing slash. Names can have slashes, so the path of a
 * repository is parsed from its end. Returns undefined if no row serves the path; throws NAME_INVALID or
 * MANIFEST_INVALID for an invalid name or tag.
 */
export function parseV1Path(path: string): V1Path | undefined {
  const [, version, noun, ...rest] = path.replace(/\/$/, '').split('/')
  if (version !== 'v1') return undefined
  switch (noun) {
    case '_ping':
      return rest.length === 0 ? { kind: 'ping' } : undefined
    case '_internal_ping':
      return rest.length === 0 ? { kind: 'internalPing' } : undefined
    case 'search':
      return rest.length === 0 ? { kind: 'search' } : undefined
    case 'users':
      return parseUser(rest)
    case 'images':
      return parseImage(rest)
    case 'repositories':
      return rest.length === 0 ? undefined : parseRepository(rest)
    default:
      return undefined
  }
}

function parseUser([account, ...more]: string[]): V1Path | undefined {
  if (account === undefined) return { kind: 'users' }
  if (more.length > 0) return undefined
  try {
    return { kind: 'user', account: decodeURIComponent(account) }
  } catch {
    return undefined
  }
}

function parseImage([id = '', noun = '', ...more]: string[]): V1Path | undefined {
  const isKind = noun === 'json' || noun === 'ancestry' || noun === 'layer' || noun === 'checksum'
  return isKind && more.length === 0 ? { kind: noun, id } : undefined
}

function parseRepository(words: string[]): V1Path {
  const last = words.at(-1)
  if (words.length > 1 && (last === 'images' || last === 'auth' || last === 'tags')) {
    return { kind: last, name: nameOf(words.slice(0, -1)) }
  }
  if (words.length > 2 && words.at(-2) === 'tags') {
    return { kind: 'tag', name: nameOf(words.slice(0, -2)), tag: parseTag(last ?? '') }
  }
  return { kind: 'repository', name: nameOf(words) }
}

function nameOf(words: string[]): RepositoryName {
  return parseRepositoryName(words.join('/'))
}

/** Confirms that this is a V1 registry that issues tokens. */
export function ping(): Response {
  return new Response('true', {
    headers: {
      'content-type': 'application/json',
      'x-docker-registry-version': '0.6.0',
      'x-docker-registry-standalone': '0',
    },
  })
}

/** Refuses every push over V1. */
export function refuse(): never {
  throw registryError(
    'UNSUPPORTED',
    "this registry supports Docker's V1 API for pulls only: push with Docker 1.6 or newer",
  )
}

/**
 * Returns the `Cache-Control` for content of a repository: shared caches may store it only if anyone may pull it.
 *
 * @param seconds how long a cache may use it without revalidation; 0 for what can change
 */
export async function cacheControl({ context, target }: V1Request, seconds: number): Promise<string> {
  const isPublic = context.access.may(await context.sessions.anonymous(), 'pull', target.repository)
  return `${isPublic ? 'public' : 'private'}, ${seconds === 0 ? 'no-cache' : `max-age=${seconds}`}`
}

/**
 * The lifetime of a pull session. Docker gets its token once and then downloads one layer after the other. Access is
 * still checked on each request.
 */
const SESSION_SECONDS = 3000

const COOKIE = 'cay-v1'
const OWN = { path: '/v1/', httpOnly: true, sameSite: 'strict' } as const

export interface SessionOptions {
  authenticator: Authenticator
  accounts: AccountServices
  access: Access
  addressOf: (request: Request) => string
}

/** Authenticates V1 requests: by a token or cookie for one repository, or by Basic. */
export class Sessions {
  private readonly options: SessionOptions

  constructor(options: SessionOptions) {
    this.options = options
  }

  /** Returns the identity of a caller without a credential. */
  async anonymous(): Promise<Identity> {
    return await this.options.authenticator.authenticate(null, () => '')
  }

  /**
   * Authenticates by the `Authorization` header or, without one, by the cookie. An expired cookie counts as none.
   *
   * @throws RegistryError UNAUTHORIZED for an invalid credential
   */
  async authenticate(request: Request): Promise<Identity> {
    const { authenticator, addressOf, access } = this.options
    if (access.isOpen) return NOBODY
    const header = authorizationOf(request)
    if (header !== null) return await authenticator.authenticate(header, () => addressOf(request))
    const cookie = cookieOf(request)
    if (cookie === undefined) return await this.anonymous()
    try {
      return await authenticator.authenticate(`Bearer ${cookie}`, () => addressOf(request))
    } catch (error) {
      if (error instanceof RegistryError && error.status === 401) return await this.anonymous()
      throw error
    }
  }

  /** Authenticates by name and password. Throws UNAUTHORIZED, or TOOMANYREQUESTS if failed logins are rate-limited. */
  async authenticatePassword(request: Request, name: string, password: string): Promise<Identity> {
    const { authenticator, addressOf, access } = this.options
    if (access.isOpen) return NOBODY
    return await authenticator.authenticatePassword(name, password, addressOf(request))
  }

  /**
   * Returns the headers that start a pull session for a repository: the cookie, and the token if requested. Returns none
   * if the caller has a session or needs none.
   *
   * @param isSecure whether the client uses HTTPS
   */
  async headersFor(
    request: Request,
    identity: Identity,
    repository: RepositoryName,
    isSecure: boolean,
  ): Promise<Record<string, string>> {
    const { registryTokens } = this.options.accounts
    const signed = await registryTokens.issueForPulls(identity, repository, SESSION_SECONDS)
    if (signed === undefined) return {}
    const cookie = new Bun.Cookie(COOKIE, signed, { secure: isSecure, maxAge: SESSION_SECONDS, ...OWN })
    const headers: Record<string, string> = { 'set-cookie': cookie.serialize() }
    if (request.headers.get('x-docker-token')?.toLowerCase() !== 'true') return headers
    const value = `signature=${signed},repository="${repository}",access=read`
    return { ...headers, 'www-authenticate': `Token ${value}`, 'x-docker-token': value }
  }
}

/** Returns the credential as a header for the authenticator; null without one, or for an empty `Token`. */
function authorizationOf(request: Request): string | null {
  const header = request.headers.get('authorization')?.trim() ?? ''
  const [, scheme = '', value = ''] = /^(\S+)\s*(.*)$/.exec(header) ?? []
  if (header === '' || (scheme.toLowerCase() === 'token' && value === '')) return null
  if (scheme.toLowerCase() !== 'token') return header
  const [, signature] = /(?:^|[,\s])signature=([\w.-]{1,4096})(?:,|$)/.exec(value) ?? []
  if (signature !== undefined) return `Bearer ${signature}`
  throw registryError('UNAUTHORIZED', 'invalid token: it was not issued by this registry')
}

/** Returns the cookie's value if it has the form of a session token; other tokens are not accepted there. */
function cookieOf(request: Request): string | undefined {
  const value = new Bun.CookieMap(request.headers.get('cookie') ?? '').get(COOKIE)
  return value && /^[\w-]+\.[\w-]+\.[\w-]+$/.test(value) ? value : undefined
}
