import { t } from 'elysia'
import type { AccountRow } from '../../metadata/accounts.ts'
import { registryError } from '../../oci/error.ts'
import { type AdminContext, controller } from './context.ts'
import { DONE, Done, Name, operation, PageQuery, Password, page, pageOf, Time, timeOf } from './schemas.ts'

const User = t.Object(
  { name: t.String(), isAdmin: t.Boolean(), disabled: t.Boolean(), createdAt: Time },
  { description: 'A user' },
)

const NewUser = t.Object({
  password: t.Optional(Password),
  passwordHash: t.Optional(
    t.String({ maxLength: 60, description: 'Instead: a bcrypt hash, as in htpasswd' }),
  ),
  isAdmin: t.Optional(t.Boolean()),
})

const UserChange = t.Object({
  password: t.Optional(Password),
  isAdmin: t.Optional(t.Boolean()),
  disabled: t.Optional(t.Boolean()),
})

/** Subjects of grants that are no accounts. */
const RESERVED: readonly string[] = ['anonymous', 'authenticated']

/** GET /api/v1/users; GET, PUT, PATCH and DELETE /api/v1/users/:name */
export function users(context: AdminContext) {
  const { metadata, passwords } = context
  const params = t.Object({ name: Name })
  const kind = 'user'
  return controller(context, 'users', '/users')
    .get(
      '',
      ({ asker, query: { last = '' } }) => {
        asker.admin()
        return page(
          (limit) => metadata.accounts.list(kind, last, limit),
          ({ name }) => name,
          toUser,
        )
      },
      { query: PageQuery, ...operation('List users', 'listUsers', pageOf(User, 'Users')) },
    )
    .get(
      '/:name',
      ({ asker, params: { name } }) => {
        asker.owner(name)
        const row = metadata.accounts.find(name)
        if (row === undefined) throw registryError('NAME_UNKNOWN', `there is no user ${name}`)
        return toUser(row)
      },
      { params, ...operation('Show a user', 'getUser', User) },
    )
    .put(
      '/:name',
      async ({ asker, params: { name }, body: { password, passwordHash: given, isAdmin = false } }) => {
        const act = asker.admin()
        refuseReserved(name)
        const passwordHash =
          given === undefined ? await passwords.hashNew(password ?? '') : passwords.checkImported(name, given)
        await metadata.write('addAccount', { ...act, name, kind, owner: undefined, passwordHash, isAdmin })
        return DONE
      },
      { params, body: NewUser, ...operation('Add a user', 'addUser', Done) },
    )
    .patch(
      '/:name',
      async ({ asker, params: { name }, body: { password, ...flags } }) => {
        const act = Object.keys(flags).length === 0 ? asker.owner(name) : asker.admin()
        const hash = password === undefined ? {} : { passwordHash: await passwords.hashNew(password) }
        await metadata.write('changeAccount', { ...act, name, kind, change: { ...flags, ...hash } })
        if (password !== undefined) context.onPasswordChanged(name)
        return DONE
      },
      {
        params,
        body: UserChange,
        ...operation('Change a user: the password, server admin, disabled', 'changeUser', Done),
      },
    )
    .delete(
      '/:name',
      async ({ asker, params: { name } }) => {
        await metadata.write('removeAccount', { ...asker.admin(), name, kind })
        context.onPasswordChanged(name)
        return DONE
      },
      { params, ...operation('Remove a user with its robots, tokens and grants', 'removeUser', Done) },
    )
}

function refuseReserved(name: string): void {
  if (!RESERVED.includes(name)) return
  throw registryError('DENIED', `${name} is a word of grants, not a name for a user`, { status: 400 })
}

function toUser({ name, isAdmin, disabledAt, createdAt }: AccountRow) {
  return { name, isAdmin, disabled: disabledAt !== null, createdAt: timeOf(createdAt) }
}
