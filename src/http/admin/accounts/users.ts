import { t } from 'elysia'
import type { User } from '../../../core/accounts/users.ts'
import { type AdminContext, controller } from '../context.ts'
import { operation, tagged } from '../operation.ts'
import { DONE, Done, mapPage, Name, PageQuery, Password, pageOf, Time, timeOf } from '../schemas.ts'

const UserModel = t.Object(
  { name: Name, isAdmin: t.Boolean(), disabled: t.Boolean(), createdAt: Time },
  { description: 'A user' },
)

const CurrentPassword = t.Optional(
  t.String({
    maxLength: 72,
    description: 'The current password; required to change your own password with a token or a session',
  }),
)

const NewUser = t.Object({
  currentPassword: CurrentPassword,
  password: t.Optional(Password),
  passwordHash: t.Optional(
    t.String({ maxLength: 60, description: 'A bcrypt hash, as in htpasswd, instead of the password' }),
  ),
  isAdmin: t.Optional(t.Boolean()),
})

const UserChange = t.Object({
  currentPassword: CurrentPassword,
  password: t.Optional(Password),
  isAdmin: t.Optional(t.Boolean()),
  disabled: t.Optional(t.Boolean()),
})

/** The operations on users. */
const OPERATIONS = {
  list: operation({
    id: 'listUsers',
    summary: 'List users',
    access: 'admin',
    answer: pageOf(UserModel, 'Users'),
  }),
  get: operation({
    id: 'getUser',
    summary: 'Show a user',
    access: 'self',
    answer: UserModel,
    etag: true,
    errors: ['NOT_FOUND'],
  }),
  add: operation({
    id: 'addUser',
    summary: 'Create a user, or replace its password and role',
    access: 'admin',
    answer: Done,
    etag: true,
    errors: ['CONFLICT'],
  }),
  change: operation({
    id: 'changeUser',
    summary: 'Change a user',
    description: 'Users may change their own password; everything else needs a server admin.',
    access: 'self',
    answer: Done,
    etag: true,
    errors: ['NOT_FOUND', 'CONFLICT'],
  }),
  unlock: operation({
    id: 'unlockUser',
    summary: 'Unlock a user after too many failed logins',
    access: 'admin',
    answer: Done,
    errors: ['NOT_FOUND'],
  }),
  remove: operation({
    id: 'removeUser',
    summary: 'Delete a user with its robots, tokens and grants',
    access: 'admin',
    answer: Done,
    etag: true,
    errors: ['NOT_FOUND', 'CONFLICT'],
  }),
}

/** GET /api/v1/users; GET, PUT, PATCH and DELETE /api/v1/users/:name; POST /api/v1/users/:name/unlock */
export function users(context: AdminContext) {
  const { users } = context.accounts
  const params = t.Object({ name: Name })
  return controller(context, 'users', '/users')
    .get('', async ({ query }) => mapPage(await users.list(query), toUser), {
      query: PageQuery,
      ...OPERATIONS.list,
    })
    .get('/:name', async ({ params: { name }, set }) => tagged(set, await users.get(name), toUser), {
      params,
      ...OPERATIONS.get,
    })
    .put(
      '/:name',
      async ({
        principal,
        params: { name },
        body: { isAdmin = false, password = '', passwordHash, ...current },
      }) => {
        const secret = passwordHash === undefined ? { password } : { passwordHash }
        await users.put(principal.act(), name, { isAdmin, ...current, ...secret })
        return DONE
      },
      { params, body: NewUser, ...OPERATIONS.add },
    )
    .patch(
      '/:name',
      async ({ principal, params: { name }, body }) => {
        const isOwn = body.isAdmin === undefined && body.disabled === undefined
        await users.change(isOwn ? principal.act() : principal.admin(), name, body)
        return DONE
      },
      { params, body: UserChange, ...OPERATIONS.change },
    )
    .post(
      '/:name/unlock',
      async ({ principal, params: { name } }) => {
        await users.unlock(principal.act(), name)
        return DONE
      },
      { params, ...OPERATIONS.unlock },
    )
    .delete(
      '/:name',
      async ({ principal, params: { name } }) => {
        await users.delete(principal.act(), name)
        return DONE
      },
      { params, ...OPERATIONS.remove },
    )
}

function toUser({ name, isAdmin, disabledAt, createdAt }: User) {
  return { name, isAdmin, disabled: disabledAt !== null, createdAt: timeOf(createdAt) }
}
