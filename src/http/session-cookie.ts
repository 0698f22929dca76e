import { createHash, timingSafeEqual } from 'node:crypto'
import { registryError } from '../oci/error.ts'

/** The cookie of a browser's session. With TLS its name says that it is for this host alone (RFC 6265bis, 4.1.3.2). */
export const COOKIE = 'cay-session'
const SECURE_COOKIE = `__Host-${COOKIE}`

/** Neither scripts nor pages of other sites see it. */
const OWN = { path: '/', httpOnly: true, sameSite: 'strict' } as const

/** The header that says that a request of a session was made by a page of this server. */
export const CSRF_HEADER = 'x-csrf-token'

/** The secrets of sessions, as browsers keep them. */
export class SessionCookies {
  private readonly originOf: (request: Request) => string

  /** @param originOf scheme, host and port by which a client reached this server */
  constructor(originOf: (request: Request) => string) {
    this.originOf = originOf
  }

  /** The secret that a request brings. */
  secretOf(request: Request): string | undefined {
    const cookies = new Bun.CookieMap(request.headers.get('cookie') ?? '')
    return cookies.get(this.nameFor(request)) ?? undefined
  }

  /** The header `set-cookie` for a secret that is good for so many seconds; with 0 it takes the cookie back. */
  format(request: Request, secret: string, seconds: number): string {
    const name = this.nameFor(request)
    const secure = name === SECURE_COOKIE
    return new Bun.Cookie(name, secret, { secure, maxAge: seconds, ...OWN }).serialize()
  }

  private nameFor(request: Request): string {
    return this.originOf(request).startsWith('https:') ? SECURE_COOKIE : COOKIE
  }
}

/** What a page sends back to show that it may read answers of this server; it follows from the session's secret. */
export function csrfTokenOf(secret: string): string {
  return createHash('sha256').update(`csrf ${secret}`).digest('base64url')
}

/** Throws DENIED for a change in the name of a session that does not come from a page of this server. */
export function checkCsrf(request: Request, secret: string): void {
  if (isSafe(request)) return
  const given = Buffer.from(request.headers.get(CSRF_HEADER) ?? '')
  const expected = Buffer.from(csrfTokenOf(secret))
  if (given.length === expected.length && timingSafeEqual(given, expected)) return
  throw registryError('DENIED', `the header ${CSRF_HEADER} must have the csrfToken of the session`)
}

/**
 * Throws DENIED for a change that a browser asks for on behalf of another site. What is no browser says nothing of
 * where it comes from.
 */
export function refuseForeign(request: Request): void {
  if (isSafe(request)) return
  const { headers } = request
  const site = headers.get('sec-fetch-site')
  const origin = headers.get('origin')
  const isOwn = site === null ? origin === null || isHostOf(origin, headers) : OWN_SITES.includes(site)
  if (!isOwn) throw registryError('DENIED', 'a page of another site asks for this')
}

const OWN_SITES: readonly string[] = ['same-origin', 'none']

/** The scheme is left out: a proxy may speak TLS for this server. */
function isHostOf(origin: string, headers: Headers): boolean {
  const hosts = [headers.get('host'), headers.get('x-forwarded-host')]
  return URL.canParse(origin) && hosts.includes(new URL(origin).host)
}

function isSafe({ method }: Request): boolean {
  return method === 'GET' || method === 'HEAD' || method === 'OPTIONS'
}
