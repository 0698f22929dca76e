import type { Authenticator } from '../../../auth/authenticator.ts'
import type { Identity } from '../../../domain/access.ts'
import { checkCsrf, type SessionCookies } from '../../session-cookie.ts'

type Authenticate = (request: Request) => Identity | Promise<Identity>

/**
 * Finds out who asks by the Authorization header or, without one, by the session of the cookie. A session that has
 * ended is as none. A change in a session's name needs its CSRF token, but for signing in, which brings a password.
 */
export function orSession(
  cookies: SessionCookies,
  authenticator: Authenticator,
  authenticate: Authenticate,
): Authenticate {
  return (request) => {
    if (request.headers.has('authorization') || isSigningIn(request)) return authenticate(request)
    const secret = cookies.secretOf(request)
    const found = secret === undefined ? undefined : authenticator.findSession(secret)
    if (secret === undefined || found === undefined) return authenticate(request)
    checkCsrf(request, secret)
    return found.identity
  }
}

function isSigningIn({ method, url }: Request): boolean {
  return method === 'POST' && new URL(url).pathname === '/api/v1/session'
}
