import type { Sessions } from '../../../core/accounts/sessions.ts'
import type { Identity } from '../../../domain/access/access.ts'
import { checkCsrf, type SessionCookies } from '../../session-cookie.ts'

type Authenticate = (request: Request) => Identity | Promise<Identity>

/**
 * Authenticates by the Authorization header or, without one, by the session cookie. An expired session counts as none.
 * A change that uses a session needs its CSRF token, except signing in, which sends a password.
 */
export function orSession(
  cookies: SessionCookies,
  sessions: Sessions,
  authenticate: Authenticate,
): Authenticate {
  return async (request) => {
    if (request.headers.has('authorization') || isSigningIn(request)) return await authenticate(request)
    const secret = cookies.secretOf(request)
    const found = secret === undefined ? undefined : await sessions.find(secret)
    if (found === undefined) return await authenticate(request)
    checkCsrf(request, found.secret)
    return found.identity
  }
}

function isSigningIn({ method, url }: Request): boolean {
  return method === 'POST' && new URL(url).pathname === '/api/v1/session'
}
