import { t } from 'elysia'
import type { Identity } from '../access/access.ts'
import { type AdminContext, controller, omitAbsent } from '../http/controller.ts'
import { AccountName, mapPage, PageQuery, timeOf } from '../http/schemas.ts'
import { checkCsrf, csrfTokenOf, type SessionCookies } from '../http/session-cookie.ts'
import { registryError } from '../oci/error.ts'
import type { AuditEntry } from './accounts.ts'
import { SESSION_SECONDS, type Session, type Sessions, type SigningKey, type Token } from './credentials.ts'
import {
  AuditQuery,
  GET_SIGNING_KEY,
  KIND_OF,
  LIST_AUDIT_ENTRIES,
  LIST_SIGNING_KEYS,
  ROTATE_SIGNING_KEY,
  RotateSigningKeyQuery,
  SESSION_OPERATIONS,
  SessionBeginBody,
  TOKEN_OPERATIONS,
  TokenRequest,
} from './models.ts'

/** POST, GET and DELETE /api/v1/session: the session of a browser. */
export function session(context: AdminContext) {
  const { cookies } = context
  const { sessions } = context.accounts
  const currentOf = async (request: Request) => {
    const secret = cookies.secretOf(request)
    const found = secret === undefined ? undefined : await sessions.find(secret)
    if (found === undefined) throw registryError('UNAUTHORIZED', 'not signed in, or the session has expired')
    return found
  }
  return controller(context, 'session', '/session')
    .post(
      '',
      async ({ principal, body: { username, password }, request, set }) => {
        const begun = await sessions.begin(principal.act(), username, password)
        set.headers['set-cookie'] = cookies.format(request, begun.secret, SESSION_SECONDS)
        set.headers['cache-control'] = 'no-store'
        return toSession(begun)
      },
      { body: SessionBeginBody, ...SESSION_OPERATIONS.begin },
    )
    .get(
      '',
      async ({ request, set }) => {
        set.headers['cache-control'] = 'no-store'
        return toSession(await currentOf(request))
      },
      SESSION_OPERATIONS.get,
    )
    .delete(
      '',
      async ({ principal, request, set }) => {
        await sessions.end(principal.act(), await currentOf(request))
        set.headers['set-cookie'] = cookies.format(request, '', 0)
      },
      SESSION_OPERATIONS.end,
    )
}

function toSession({ identity: { account = '', isAdmin }, expiresAt, secret }: Session) {
  return { account, admin: isAdmin, expiresAt: timeOf(expiresAt), csrfToken: csrfTokenOf(secret) }
}

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

/** GET and POST /api/v1/signing-keys, GET /api/v1/signing-keys/:id: the keys that sign the tokens of /token. */
export function signingKeys(context: AdminContext) {
  const { signingKeys } = context.accounts
  return controller(context, 'signing-keys', '/signing-keys')
    .get('', async ({ query }) => mapPage(await signingKeys.list(query), toSigningKey), {
      query: PageQuery,
      ...LIST_SIGNING_KEYS,
    })
    .post(
      '',
      async ({ principal, query: { revokeOthers = false } }) => {
        const { othersEndAt: othersExpireAt, ...key } = await signingKeys.rotate(principal.act(), {
          now: revokeOthers,
        })
        return omitAbsent({ ...key, othersExpireAt })
      },
      {
        query: RotateSigningKeyQuery,
        ...ROTATE_SIGNING_KEY,
      },
    )
    .get('/:id', ({ params: { id } }) => toSigningKey(signingKeys.get(id)), {
      params: t.Object({ id: t.String({ maxLength: 64 }) }),
      ...GET_SIGNING_KEY,
    })
}

function toSigningKey({ endsAt: expiresAt, ...key }: SigningKey) {
  return omitAbsent({ ...key, expiresAt })
}

/** GET and POST /api/v1/accounts/:account/tokens; GET and DELETE /api/v1/accounts/:account/tokens/:id */
export function tokens(context: AdminContext) {
  const { tokens } = context.accounts
  const params = t.Object({ account: AccountName })
  const ofToken = t.Object({ account: AccountName, id: t.String({ maxLength: 64 }) })
  return controller(context, 'tokens', '/accounts/:account/tokens')
    .get('', async ({ params: { account }, query }) => mapPage(await tokens.list(account, query), toToken), {
      params,
      query: PageQuery,
      ...TOKEN_OPERATIONS.list,
    })
    .post(
      '',
      async ({ principal, params: { account }, body }) => {
        const { secret, ...token } = await tokens.add(principal.act(), account, body)
        return { ...toToken(token), secret }
      },
      { params, body: TokenRequest, ...TOKEN_OPERATIONS.add },
    )
    .get('/:id', ({ params: { account, id } }) => toToken(tokens.get(account, id)), {
      params: ofToken,
      ...TOKEN_OPERATIONS.get,
    })
    .delete('/:id', ({ principal, params: { account, id } }) => tokens.delete(principal.act(), account, id), {
      params: ofToken,
      ...TOKEN_OPERATIONS.remove,
    })
}

function toToken({ id, kind, name, createdAt, expiresAt, lastUsedAt, scope }: Token) {
  return omitAbsent({
    id,
    kind,
    name,
    createdAt: timeOf(createdAt),
    expiresAt: expiresAt === null ? null : timeOf(expiresAt),
    lastUsedAt: lastUsedAt === null ? null : timeOf(lastUsedAt),
    scope,
  })
}

/** GET /api/v1/audit: changes to accounts and grants, denied requests, and sign-ins. */
export function audit(context: AdminContext) {
  const { audit } = context.accounts
  return controller(context, 'audit', '/audit').get(
    '',
    async ({ query }) => mapPage(await audit.list(query, KIND_OF[query.kind ?? 'change']), toAct),
    {
      query: AuditQuery,
      ...LIST_AUDIT_ENTRIES,
    },
  )
}

function toAct({ id: _, detail: details, credential: credentialId, ...entry }: AuditEntry) {
  return omitAbsent({ ...entry, details, credentialId })
}
