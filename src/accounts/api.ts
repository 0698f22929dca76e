import { t } from 'elysia'
import type { Principal } from '../access/decision.ts'
import { type AdminContext, controller } from '../http/controller.ts'
import { markCreated } from '../http/operation.ts'
import { mapPage, Name, PageQuery, RobotName, timeOf } from '../http/schemas.ts'
import { csrfTokenOf } from '../http/session-cookie.ts'
import type { Robot, User } from './accounts.ts'
import type { ExplainedAccess, Grant } from './grants.ts'
import {
  DELETE_GRANT,
  DeleteGrantQuery,
  EXPLAIN_ACCESS,
  GET_CALLER,
  GROUP_OPERATIONS,
  GroupChangeBody,
  LIST_GRANTS,
  ListGrantsQuery,
  NewUser,
  PUT_GRANT,
  PutGrantBody,
  Question,
  ROBOT_OPERATIONS,
  RobotChangeBody,
  USER_OPERATIONS,
  UserChange,
} from './models.ts'

/** GET /api/v1/users; GET, PUT, PATCH and DELETE /api/v1/users/:name; POST /api/v1/users/:name/unlock */
export function users(context: AdminContext) {
  const { users } = context.accounts
  const params = t.Object({ name: Name })
  return controller(context, 'users', '/users')
    .get('', async ({ query }) => mapPage(await users.list(query), toUser), {
      query: PageQuery,
      ...USER_OPERATIONS.list,
    })
    .get('/:name', async ({ params: { name } }) => toUser(await users.get(name)), {
      params,
      ...USER_OPERATIONS.get,
    })
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
        return toUser(await users.get(name))
      },
      { params, body: NewUser, ...USER_OPERATIONS.add },
    )
    .patch(
      '/:name',
      async ({ principal, params: { name }, body: { admin, ...body } }) => {
        const isOwn = admin === undefined && body.disabled === undefined
        const change = { ...body, ...(admin !== undefined && { isAdmin: admin }) }
        await users.change(isOwn ? principal.act() : principal.admin(), name, change)
        return toUser(await users.get(name))
      },
      { params, body: UserChange, ...USER_OPERATIONS.change },
    )
    .post('/:name/unlock', ({ principal, params: { name } }) => users.unlock(principal.act(), name), {
      params,
      ...USER_OPERATIONS.unlock,
    })
    .delete('/:name', ({ principal, params: { name } }) => users.delete(principal.act(), name), {
      params,
      ...USER_OPERATIONS.remove,
    })
}

function toUser({ name, isAdmin, disabledAt, createdAt, version }: User) {
  return { name, admin: isAdmin, disabled: disabledAt !== null, createdAt: timeOf(createdAt), version }
}

/** GET /api/v1/robots; GET, PUT, PATCH and DELETE /api/v1/robots/:name, where the name is `owner+robot`. */
export function robots(context: AdminContext) {
  const { robots } = context.accounts
  const params = t.Object({ name: RobotName })
  return controller(context, 'robots', '/robots')
    .get(
      '',
      async ({ principal, query }) => {
        const owner = principal.isAdmin ? undefined : principal.self()
        return mapPage(await robots.list(query, owner), toRobot)
      },
      { query: PageQuery, ...ROBOT_OPERATIONS.list },
    )
    .get('/:name', async ({ params: { name } }) => toRobot(await robots.get(name)), {
      params,
      ...ROBOT_OPERATIONS.get,
    })
    .put(
      '/:name',
      async ({ principal, params: { name }, set }) => {
        markCreated(set, await robots.put(principal.act(), name))
        return toRobot(await robots.get(name))
      },
      { params, ...ROBOT_OPERATIONS.add },
    )
    .patch(
      '/:name',
      async ({ principal, params: { name }, body }) => {
        await robots.change(principal.act(), name, body)
        return toRobot(await robots.get(name))
      },
      { params, body: RobotChangeBody, ...ROBOT_OPERATIONS.change },
    )
    .delete('/:name', ({ principal, params: { name } }) => robots.delete(principal.act(), name), {
      params,
      ...ROBOT_OPERATIONS.remove,
    })
}

function toRobot({ name, disabledAt, createdAt, version }: Robot) {
  return { name, disabled: disabledAt !== null, createdAt: timeOf(createdAt), version }
}

/** GET /api/v1/groups; GET, PUT, PATCH and DELETE /api/v1/groups/:name */
export function groups(context: AdminContext) {
  const { groups } = context.accounts
  const params = t.Object({ name: Name })
  return controller(context, 'groups', '/groups')
    .get('', async ({ query }) => mapPage(await groups.list(query), (name) => ({ name })), {
      query: PageQuery,
      ...GROUP_OPERATIONS.list,
    })
    .get('/:name', ({ params: { name } }) => groups.get(name), {
      params,
      ...GROUP_OPERATIONS.get,
    })
    .put(
      '/:name',
      async ({ principal, params: { name }, set }) => {
        markCreated(set, await groups.put(principal.act(), name))
        return await groups.get(name)
      },
      { params, ...GROUP_OPERATIONS.add },
    )
    .patch(
      '/:name',
      async ({ principal, params: { name }, body: { add = [], remove = [] } }) => {
        await groups.change(principal.act(), name, { add, remove })
        return await groups.get(name)
      },
      { params, body: GroupChangeBody, ...GROUP_OPERATIONS.change },
    )
    .delete('/:name', ({ principal, params: { name } }) => groups.delete(principal.act(), name), {
      params,
      ...GROUP_OPERATIONS.remove,
    })
}

/** GET /api/v1/caller: who the caller is. Unlike /session, it answers anonymous callers, too. */
export function caller(context: AdminContext) {
  const { cookies } = context
  const { sessions } = context.accounts
  const sessionOf = async (request: Request) => {
    const secret = request.headers.has('authorization') ? undefined : cookies.secretOf(request)
    return secret === undefined ? undefined : await sessions.find(secret)
  }
  return controller(context, 'session', '/caller').get(
    '',
    async ({ principal, request, set }) => {
      set.headers['cache-control'] = 'no-store'
      const { account, isAdmin } = principal
      const session = context.access.isOpen ? undefined : await sessionOf(request)
      return {
        admin: isAdmin,
        openAccess: context.access.isOpen,
        catalogAccess: hasCatalogAccess(principal),
        ...(account !== undefined && { account }),
        ...(session && {
          session: { expiresAt: timeOf(session.expiresAt), csrfToken: csrfTokenOf(session.secret) },
        }),
      }
    },
    GET_CALLER,
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
    .get('', async ({ principal, query }) => mapPage(await grants.list(principal, query), toGrant), {
      query: ListGrantsQuery,
      ...LIST_GRANTS,
    })
    .put(
      '',
      async ({ principal, body, set }) => {
        const { isNew, ...grant } = await grants.put(principal, body)
        markCreated(set, isNew)
        return toGrant(grant)
      },
      {
        body: PutGrantBody,
        ...PUT_GRANT,
      },
    )
    .delete('', ({ principal, query }) => grants.delete(principal, query), {
      query: DeleteGrantQuery,
      ...DELETE_GRANT,
    })
}

function toGrant({ subject, pattern, role, createdAt }: Omit<Grant, 'id'>) {
  return { subject, pattern, role, createdAt: timeOf(createdAt) }
}

/** GET /api/v1/access: what an account may do in a repository, and by which grants. */
export function access(context: AdminContext) {
  const { grants } = context.accounts
  return controller(context, 'access', '/access').get(
    '',
    async ({ principal, query: { credentialId: credential, ...query } }) => {
      const { actions, isDisabled, reasons, limits } = await grants.explain(principal, {
        ...query,
        credential,
      })
      return {
        actions,
        disabled: isDisabled,
        reasons: reasons.map(toReason),
        limits: limits.map(({ by: source, ...limit }) => ({ source, ...limit })),
      }
    },
    {
      query: Question,
      ...EXPLAIN_ACCESS,
    },
  )
}

function toReason({ by: source, subject, rule, actions }: ExplainedAccess['reasons'][number]) {
  return { source, ...(subject !== undefined && { subject }), ...rule, actions }
}
