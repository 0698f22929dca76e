import { t } from 'elysia'
import type { Passwords } from '../../../auth/passwords.ts'
import { SYSTEM } from '../../../domain/caller.ts'
import type { AccountRow } from '../../../metadata/accounts/accounts.ts'
import { registryError } from '../../../oci/error.ts'
import { type AdminContext, controller } from '../context.ts'
import { operation } from '../operation.ts'
import { DONE, Done, Name, PageQuery, Password, page, pageOf, Time, timeOf } from '../schemas.ts'

const User = t.Object(
  { name: Name, isAdmin: t.Boolean(), disabled: t.Boolean(), createdAt: Time },
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

/** Names that mean something else than a user: subjects of grants, and who acts in the history when nobody has asked. */
const RESERVED: readonly (string | undefined)[] = ['anonymous', 'authenticated', SYSTEM.account]

/** What each route does, and who may ask for it. */
const OPERATIONS = {
  list: operation({
    id: 'listUsers',
    summary: 'List users',
    access: 'admin',
    answer: pageOf(User, 'Users'),
  }),
  get: operation({
    id: 'getUser',
    summary: 'Show a user',
    access: 'self',
    answer: User,
    etag: true,
    errors: ['NOT_FOUND'],
  }),
  add: operation({
    id: 'addUser',
    summary: 'Add a user, or set what one has',
    access: 'admin',
    answer: Done,
    etag: true,
    errors: ['CONFLICT'],
  }),
  change: operation({
    id: 'changeUser',
    summary: 'Change a user: the password, server admin, disabled',
    description: 'Users change their own passwords; the rest a server admin does.',
    access: 'self',
    answer: Done,
    etag: true,
    errors: ['NOT_FOUND', 'CONFLICT'],
  }),
  remove: operation({
    id: 'removeUser',
    summary: 'Remove a user with its robots, tokens and grants',
    access: 'admin',
    answer: Done,
    etag: true,
    errors: ['NOT_FOUND', 'CONFLICT'],
  }),
}

/** GET /api/v1/users; GET, PUT, PATCH and DELETE /api/v1/users/:name */
export function users(context: AdminContext) {
  const { metadata, passwords, changes } = context
  const params = t.Object({ name: Name })
  const kind = 'user'
  const findUser = (name: string) => {
    const row = metadata.accounts.find(name)
    return row?.kind === kind ? toUser(row) : undefined
  }
  const change = <T>(request: Request, name: string, write: () => Promise<T>) =>
    changes.make(request, `user ${name}`, () => findUser(name), write)
  return controller(context, 'users', '/users')
    .get(
      '',
      ({ query }) =>
        page(
          query,
          (limit) => metadata.accounts.list(kind, query.last ?? '', limit),
          ({ name }) => name,
          toUser,
        ),
      { query: PageQuery, ...OPERATIONS.list },
    )
    .get('/:name', ({ params: { name } }) => findUser(name) ?? missing(name), { params, ...OPERATIONS.get })
    .put(
      '/:name',
      async ({ asker, params: { name }, body: { isAdmin = false, ...given }, request }) => {
        refuseReserved(name)
        const passwordHash = await hashOf(passwords, name, given)
        await change(request, name, async () => {
          const user = { ...asker.act(), name, kind } as const
          const isThere = findUser(name) !== undefined
          if (isThere) await metadata.write('changeAccount', { ...user, change: { passwordHash, isAdmin } })
          else await metadata.write('addAccount', { ...user, owner: undefined, passwordHash, isAdmin })
          if (isThere) context.onPasswordChanged(name)
        })
        return DONE
      },
      { params, body: NewUser, ...OPERATIONS.add },
    )
    .patch(
      '/:name',
      async ({ asker, params: { name }, body: { password, ...flags }, request }) => {
        const act = Object.keys(flags).length === 0 ? asker.act() : asker.admin()
        const hash = password === undefined ? {} : { passwordHash: await passwords.hashNew(password) }
        const write = { ...act, name, kind, change: { ...flags, ...hash } } as const
        await change(request, name, () => metadata.write('changeAccount', write))
        if (password !== undefined) context.onPasswordChanged(name)
        return DONE
      },
      { params, body: UserChange, ...OPERATIONS.change },
    )
    .delete(
      '/:name',
      async ({ asker, params: { name }, request }) => {
        await change(request, name, () => metadata.write('removeAccount', { ...asker.act(), name, kind }))
        context.onPasswordChanged(name)
        return DONE
      },
      { params, ...OPERATIONS.remove },
    )
}

function hashOf(passwords: Passwords, name: string, given: { password?: string; passwordHash?: string }) {
  const { password = '', passwordHash } = given
  return passwordHash === undefined
    ? passwords.hashNew(password)
    : passwords.checkImported(name, passwordHash)
}

function missing(name: string): never {
  throw registryError('NOT_FOUND', `there is no user ${name}`)
}

function refuseReserved(name: string): void {
  if (!RESERVED.includes(name)) return
  throw registryError(
    'REQUEST_INVALID',
    `the name ${name} is taken by cay itself: it has a meaning in grants or in the history; choose another`,
  )
}

function toUser({ name, isAdmin, disabledAt, createdAt }: AccountRow) {
  return { name, isAdmin, disabled: disabledAt !== null, createdAt: timeOf(createdAt) }
}
