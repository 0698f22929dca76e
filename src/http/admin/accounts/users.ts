import { t } from 'elysia'
import type { User } from '../../../core/accounts/users.ts'
import { type AdminContext, controller } from '../context.ts'
import { markCreated, operation } from '../operation.ts'
import { mapPage, Name, PageQuery, Password, pageOf, Time, timeOf } from '../schemas.ts'

const UserModel = t.Object(
  {
    name: Name,
    admin: t.Boolean({ description: 'Whether it is a server admin' }),
    disabled: t.Boolean(),
    createdAt: Time,
  },
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
  admin: t.Optional(t.Boolean()),
})

const UserChange = t.Object({
  currentPassword: CurrentPassword,
  password: t.Optional(Password),
  admin: t.Optional(t.Boolean()),
  disabled: t.Optional(t.Boolean()),
})

/** The operations on users. */
const OPERATIONS = {
  list: operation('listUsers', 'admin', 'List users', { answer: pageOf(UserModel, 'Users') }),
  get: operation('getUser', 'self', 'Show a user', { answer: UserModel, etag: true, errors: ['NOT_FOUND'] }),
  add: operation('putUser', 'admin', 'Create a user, or replace its password and role', {
    answer: UserModel,
    creates: 'unless-it-exists',
    etag: true,
    errors: ['CONFLICT'],
  }),
  change: operation('updateUser', 'self', 'Change a user', {
    description: 'Users may change their own password; everything else needs a server admin.',
    answer: UserModel,
    etag: true,
    errors: ['NOT_FOUND', 'CONFLICT'],
  }),
  unlock: operation('unlockUser', 'admin', 'Unlock a user after too many failed logins', {
    errors: ['NOT_FOUND'],
  }),
  remove: operation('deleteUser', 'admin', 'Delete a user with its robots, tokens and grants', {
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
    .get('/:name', async ({ params: { name } }) => toUser(await users.get(name)), {
      params,
      ...OPERATIONS.get,
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
      { params, body: NewUser, ...OPERATIONS.add },
    )
    .patch(
      '/:name',
      async ({ principal, params: { name }, body: { admin, ...body } }) => {
        const isOwn = admin === undefined && body.disabled === undefined
        const change = { ...body, ...(admin !== undefined && { isAdmin: admin }) }
        await users.change(isOwn ? principal.act() : principal.admin(), name, change)
        return toUser(await users.get(name))
      },
      { params, body: UserChange, ...OPERATIONS.change },
    )
    .post('/:name/unlock', ({ principal, params: { name } }) => users.unlock(principal.act(), name), {
      params,
      ...OPERATIONS.unlock,
    })
    .delete('/:name', ({ principal, params: { name } }) => users.delete(principal.act(), name), {
      params,
      ...OPERATIONS.remove,
    })
}

function toUser({ name, isAdmin, disabledAt, createdAt, version }: User) {
  return { name, admin: isAdmin, disabled: disabledAt !== null, createdAt: timeOf(createdAt), version }
}
