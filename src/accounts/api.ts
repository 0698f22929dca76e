import type { Identity, Principal } from '../access/access.ts'
import {
  type AdminContext,
  checkCsrf,
  controller,
  csrfTokenOf,
  omitAbsent,
  type SessionCookies,
} from '../http/controller.ts'
import { markCreated } from '../http/operation.ts'
import { mapPage, timeOf } from '../http/schemas.ts'
import { registryError } from '../oci/error.ts'
import type { AccountServices, AuditEntry } from './accounts.ts'
import { SESSION_SECONDS, type Session, type Token } from './credentials.ts'
import type { ExplainedAccess, Grant } from './grants.ts'
import { KIND_OF, ROUTES } from './models.ts'
import type { AccountRow } from './store.ts'

/** GET /api/v1/users; GET, PUT, PATCH and DELETE /api/v1/users/:name; POST /api/v1/users/:name/unlock */
export function users(context: AdminContext) {
  const { users } = context.accounts
  const user = ROUTES['users/:name']
  return controller(context, 'users', '/users')
    .get('', async ({ query }) => mapPage(await users.list(query), toUser), ROUTES.users.get)
    .get('/:name', ({ params: { name } }) => toUser(users.get(name)), user.get)
    .put(
      '/:name',
      async ({
        principal,
        params: { name },
        body: { admin: isAdmin = false, password = '', passwordHash, ...current },
        set,
      }) => {
        const secret = passwordHash === undefined ? { password } : { passwordHash }
        markCreated(set, await users.put(principal.act(), name, { isAdmin, ...current, ...secret }))
        return toUser(users.get(name))
      },
      user.put,
    )
    .patch(
      '/:name',
      async ({ principal, params: { name }, body: { admin, ...body } }) => {
        const isOwn = admin === undefined && body.disabled === undefined
        const change = { ...body, ...(admin !== undefined && { isAdmin: admin }) }
        await users.change(isOwn ? principal.act() : principal.admin(), name, change)
        return toUser(users.get(name))
      },
      user.patch,
    )
    .post(
      '/:name/unlock',
      ({ principal, params: { name } }) => users.unlock(principal.act(), name),
      ROUTES['users/:name/unlock'].post,
    )
    .delete('/:name', ({ principal, params: { name } }) => users.delete(principal.act(), name), user.delete)
}

function toUser({ name, isAdmin, disabledAt, createdAt, version }: AccountRow) {
  return { name, admin: isAdmin, disabled: disabledAt !== null, createdAt: timeOf(createdAt), version }
}

/** GET /api/v1/robots; GET, PUT, PATCH and DELETE /api/v1/robots/:name, where the name is `owner+robot`. */
export function robots(context: AdminContext) {
  const { robots } = context.accounts
  const robot = ROUTES['robots/:name']
  return controller(context, 'robots', '/robots')
    .get(
      '',
      async ({ principal, query }) => {
        const owner = principal.isAdmin ? undefined : principal.self()
        return mapPage(await robots.list(query, owner), toRobot)
      },
      ROUTES.robots.get,
    )
    .get('/:name', ({ params: { name } }) => toRobot(robots.get(name)), robot.get)
    .put(
      '/:name',
      async ({ principal, params: { name }, set }) => {
        markCreated(set, await robots.put(principal.act(), name))
        return toRobot(robots.get(name))
      },
      robot.put,
    )
    .patch(
      '/:name',
      async ({ principal, params: { name }, body }) => {
        await robots.change(principal.act(), name, body)
        return toRobot(robots.get(name))
      },
      robot.patch,
    )
    .delete('/:name', ({ principal, params: { name } }) => robots.delete(principal.act(), name), robot.delete)
}

function toRobot({ name, disabledAt, createdAt, version }: AccountRow) {
  return { name, disabled: disabledAt !== null, createdAt: timeOf(createdAt), version }
}

/** GET /api/v1/groups; GET, PUT, PATCH and DELETE /api/v1/groups/:name */
export function groups(context: AdminContext) {
  const { groups } = context.accounts
  const group = ROUTES['groups/:name']
  return controller(context, 'groups', '/groups')
    .get('', async ({ query }) => mapPage(await groups.list(query), (name) => ({ name })), ROUTES.groups.get)
    .get('/:name', ({ params: { name } }) => groups.get(name), group.get)
    .put(
      '/:name',
      async ({ principal, params: { name }, set }) => {
        markCreated(set, await groups.put(principal.act(), name))
        return groups.get(name)
      },
      group.put,
    )
    .patch(
      '/:name',
      async ({ principal, params: { name }, body: { add = [], remove = [] } }) => {
        await groups.change(principal.act(), name, { add, remove })
        return groups.get(name)
      },
      group.patch,
    )
    .delete('/:name', ({ principal, params: { name } }) => groups.delete(principal.act(), name), group.delete)
}

/** Returns the session of a request's cookie. */
function sessionOf(cookies: SessionCookies, { sessions }: AccountServices, request: Request) {
  const secret = cookies.secretOf(request)
  return secret === undefined ? undefined : sessions.find(secret)
}

/** GET /api/v1/caller: who the caller is. Unlike /session, it answers anonymous callers, too. */
export function caller(context: AdminContext) {
  const { cookies, access, accounts } = context
  return controller(context, 'session', '/caller').get(
    '',
    ({ principal, request, set }) => {
      set.headers['cache-control'] = 'no-store'
      const { account, isAdmin } = principal
      const hasCookie = !access.isOpen && !request.headers.has('authorization')
      const session = hasCookie ? sessionOf(cookies, accounts, request) : undefined
      return {
        admin: isAdmin,
        openAccess: access.isOpen,
        catalogAccess: hasCatalogAccess(principal),
        ...(account !== undefined && { account }),
        ...(session && {
          session: { expiresAt: timeOf(session.expiresAt), csrfToken: csrfTokenOf(session.secret) },
        }),
      }
    },
    ROUTES.caller.get,
  )
}

function hasCatalogAccess(principal: Principal): boolean {
  try {
    principal.catalog()
    return true
  } catch {
    return false
  }
}

/** GET, PUT and DELETE /api/v1/grants */
export function grants(context: AdminContext) {
  const { grants } = context.accounts
  return controller(context, 'grants', '/grants')
    .get(
      '',
      async ({ principal, query }) => mapPage(await grants.list(principal, query), toGrant),
      ROUTES.grants.get,
    )
    .put(
      '',
      async ({ principal, body, set }) => {
        const { isNew, ...grant } = await grants.put(principal, body)
        markCreated(set, isNew)
        return toGrant(grant)
      },
      ROUTES.grants.put,
    )
    .delete('', ({ principal, query }) => grants.delete(principal, query), ROUTES.grants.delete)
}

function toGrant({ subject, pattern, role, createdAt }: Omit<Grant, 'id'>) {
  return { subject, pattern, role, createdAt: timeOf(createdAt) }
}

/** GET /api/v1/access: what an account may do in a repository, and by which grants. */
export function access(context: AdminContext) {
  const { grants } = context.accounts
  return controller(context, 'access', '/access').get(
    '',
    ({ principal, query: { credentialId: credential, ...query } }) => {
      const { actions, isDisabled, reasons, limits } = grants.explain(principal, { ...query, credential })
      return {
        actions,
        disabled: isDisabled,
        reasons: reasons.map(toReason),
        limits: limits.map(({ by: source, ...limit }) => ({ source, ...limit })),
      }
    },
    ROUTES.access.get,
  )
}

function toReason({ by: source, subject, rule, actions }: ExplainedAccess['reasons'][number]) {
  return { source, ...(subject !== undefined && { subject }), ...rule, actions }
}

/** POST, GET and DELETE /api/v1/session: the session of a browser. */
export function session(context: AdminContext) {
  const { cookies, accounts } = context
  const { sessions } = accounts
  const currentOf = (request: Request) => {
    const found = sessionOf(cookies, accounts, request)
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
      ROUTES.session.post,
    )
    .get(
      '',
      ({ request, set }) => {
        set.headers['cache-control'] = 'no-store'
        return toSession(currentOf(request))
      },
      ROUTES.session.get,
    )
    .delete(
      '',
      async ({ principal, request, set }) => {
        await sessions.end(principal.act(), currentOf(request))
        set.headers['set-cookie'] = cookies.format(request, '', 0)
      },
      ROUTES.session.delete,
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
  accounts: AccountServices,
  authenticate: Authenticate,
): Authenticate {
  return async (request) => {
    const isSigningIn = request.method === 'POST' && new URL(request.url).pathname === '/api/v1/session'
    if (request.headers.has('authorization') || isSigningIn) return await authenticate(request)
    const found = sessionOf(cookies, accounts, request)
    if (found === undefined) return await authenticate(request)
    checkCsrf(request, found.secret)
    return found.identity
  }
}

/** GET and POST /api/v1/signing-keys, GET /api/v1/signing-keys/:id: the keys that sign the tokens of /token. */
export function signingKeys(context: AdminContext) {
  const { signingKeys } = context.accounts
  return controller(context, 'signing-keys', '/signing-keys')
    .get(
      '',
      async ({ query }) => mapPage(await signingKeys.list(query), toSigningKey),
      ROUTES['signing-keys'].get,
    )
    .post(
      '',
      async ({ principal, query: { revokeOthers = false } }) => {
        const { othersEndAt, ...key } = await signingKeys.rotate(principal.act(), revokeOthers)
        return omitAbsent({ ...key, othersExpireAt: othersEndAt })
      },
      ROUTES['signing-keys'].post,
    )
    .get('/:id', ({ params: { id } }) => toSigningKey(signingKeys.get(id)), ROUTES['signing-keys/:id'].get)
}

function toSigningKey({ endsAt: expiresAt, ...key }: ReturnType<AccountServices['signingKeys']['get']>) {
  return omitAbsent({ ...key, expiresAt })
}

/** GET and POST /api/v1/accounts/:account/tokens; GET and DELETE /api/v1/accounts/:account/tokens/:id */
export function tokens(context: AdminContext) {
  const { tokens } = context.accounts
  const ofAccount = ROUTES['accounts/:account/tokens']
  const token = ROUTES['accounts/:account/tokens/:id']
  return controller(context, 'tokens', '/accounts/:account/tokens')
    .get(
      '',
      async ({ params: { account }, query }) => mapPage(await tokens.list(account, query), toToken),
      ofAccount.get,
    )
    .post(
      '',
      async ({ principal, params: { account }, body }) => {
        const { secret, ...token } = await tokens.add(principal.act(), account, body)
        return { ...toToken(token), secret }
      },
      ofAccount.post,
    )
    .get('/:id', ({ params: { account, id } }) => toToken(tokens.get(account, id)), token.get)
    .delete(
      '/:id',
      ({ principal, params: { account, id } }) => tokens.delete(principal.act(), account, id),
      token.delete,
    )
}

function toToken({ id, kind, name, createdAt, expiresAt, lastUsedAt, scope }: Token) {
  return omitAbsent({ id, kind, name, createdAt, expiresAt, lastUsedAt, scope })
}

/** GET /api/v1/audit: changes to accounts and grants, denied requests, and sign-ins. */
export function audit(context: AdminContext) {
  const { audit } = context.accounts
  return controller(context, 'audit', '/audit').get(
    '',
    async ({ query }) => mapPage(await audit.list(query, KIND_OF[query.kind ?? 'change']), toAct),
    ROUTES.audit.get,
  )
}

function toAct({ id: _, detail: details, credential: credentialId, ...entry }: AuditEntry) {
  return omitAbsent({ ...entry, details, credentialId })
}
