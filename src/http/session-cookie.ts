import { createHash, timingSafeEqual } from 'node:crypto'
import { registryError } from '../oci/error.ts'

/** The session cookie. With TLS it has the `__Host-` prefix, which binds it to this host (RFC 6265bis, 4.1.3.2). */
export const COOKIE = 'cay-session'
const SECURE_COOKIE = `__Host-${COOKIE}`

/** Hides the cookie from scripts and from requests of other sites. */
const OWN = { path: '/', httpOnly: true, sameSite: 'strict' } as const

/** The header that proves that a page of this server made the request. */
export const CSRF_HEADER = 'x-csrf-token'

/** Reads and writes session cookies. */
export class SessionCookies {
  private readonly originOf: (request: Request) => string

  /** @param originOf returns the scheme, host and port that the client used to reach this server */
  constructor(originOf: (request: Request) => string) {
    this.originOf = originOf
  }

  /** Returns the session secret of a request. */
  secretOf(request: Request): string | undefined {
    const cookies = new Bun.CookieMap(request.headers.get('cookie') ?? '')
    return cookies.get(this.nameFor(request)) ?? undefined
  }

  /** Formats the `set-cookie` header for a secret with a lifetime in seconds; 0 deletes the cookie. */
  format(request: Request, secret: string, seconds: number): string {
    const name = this.nameFor(request)
    const secure = name === SECURE_COOKIE
    return new Bun.Cookie(name, secret, { secure, maxAge: seconds, ...OWN }).serialize()
  }

  private nameFor(request: Request): string {
    return this.originOf(request).startsWith('https:') ? SECURE_COOKIE : COOKIE
  }
}

/** Returns the CSRF token of a session, which is derived from its secret. Only pages of this server can read it. */
export function csrfTokenOf(secret: string): string {
  return createHash('sha256').update(`csrf ${secret}`).digest('base64url')
}

/** Throws DENIED for a change that uses a session without its CSRF token. */
export function checkCsrf(request: Request, secret: string): void {
  if (isSafe(request)) return
  const given = Buffer.from(request.headers.get(CSRF_HEADER) ?? '')
  const expected = Buffer.from(csrfTokenOf(secret))
  if (given.length === expected.length && timingSafeEqual(given, expected)) return
  throw registryError(
    'DENIED',
    `missing or wrong CSRF token: send the session's csrfToken in the ${CSRF_HEADER} header`,
  )
}

/**
 * Throws DENIED for a change that a browser sends on behalf of another site. Clients other than browsers send no origin
 * and pass.
 */
export function refuseForeign(request: Request): void {
  if (isSafe(request)) return
  const { headers } = request
  const site = headers.get('sec-fetch-site')
  const origin = headers.get('origin')
  const isOwn = site === null ? origin === null || isHostOf(origin, headers) : OWN_SITES.includes(site)
  if (!isOwn) throw registryError('DENIED', 'cross-site request denied')
}

const OWN_SITES: readonly string[] = ['same-origin', 'none']

/** Compares without the scheme, because a proxy may terminate TLS. */
function isHostOf(origin: string, headers: Headers): boolean {
  const hosts = [headers.get('host'), headers.get('x-forwarded-host')]
  return URL.canParse(origin) && hosts.includes(new URL(origin).host)
}

function isSafe({ method }: Request): boolean {
  return method === 'GET' || method === 'HEAD' || method === 'OPTIONS'
}
