import { Elysia, t } from 'elysia'
import type { AccountRow } from '../../metadata/accounts.ts'
import { registryError } from '../../oci/error.ts'
import { type AdminContext, adminRequest } from './context.ts'
import { Done, Name, PageQuery, Password, page, pageOf, REFUSALS, SECURITY, Time, timeOf } from './schemas.ts'

const User = t.Object({
  name: t.String(),
  isAdmin: t.Boolean(),
  disabled: t.Boolean(),
  createdAt: Time,
})

/** Subjects of grants that are no accounts. */
const RESERVED: readonly string[] = ['anonymous', 'authenticated']

/** GET /api/v1/users, PUT, PATCH and DELETE /api/v1/users/:name */
export function users(context: AdminContext) {
  const detail = (summary: string, operationId: string) => ({ summary, operationId, security: SECURITY })
  return new Elysia({ name: 'users', prefix: '/users', tags: ['accounts'] })
    .get(
      '/',
      async ({ request, query }) => {
        ;(await adminRequest(context, request)).requireAdmin()
        const list = (limit: number) => context.metadata.accounts.list('user', query.last ?? '', limit)
        const { items, ...rest } = page(list, ({ name }) => name)
        return { items: items.map(toUser), ...rest }
      },
      {
        query: PageQuery,
        response: { 200: pageOf(User, 'Users'), ...REFUSALS },
        detail: detail('List users', 'listUsers'),
      },
    )
    .put(
      '/:name',
      async ({ request, params, body }) => {
        const admin = await adminRequest(context, request)
        admin.requireAdmin()
        if (RESERVED.includes(params.name)) {
          throw registryError('DENIED', `${params.name} is a word of grants, not a name for a user`, {
            status: 400,
          })
        }
        const passwordHash = await context.hashPassword(body.password)
        const { isAdmin = false } = body
        await context.metadata.write('addAccount', {
          ...admin.act(),
          name: params.name,
          kind: 'user',
          owner: undefined,
          passwordHash,
          isAdmin,
        })
        return { done: true as const }
      },
      {
        params: t.Object({ name: Name }),
        body: t.Object({ password: Password, isAdmin: t.Optional(t.Boolean()) }),
        response: { 200: Done, ...REFUSALS },
        detail: detail('Add a user', 'addUser'),
      },
    )
    .patch(
      '/:name',
      async ({ request, params, body }) => {
        const admin = await adminRequest(context, request)
        if (body.isAdmin === undefined && body.disabled === undefined) admin.requireSelf(params.name)
        else admin.requireAdmin()
        const { password, isAdmin, disabled } = body
        const change = {
          ...(password === undefined ? {} : { passwordHash: await context.hashPassword(password) }),
          ...(isAdmin === undefined ? {} : { isAdmin }),
          ...(disabled === undefined ? {} : { disabled }),
        }
        await context.metadata.write('changeAccount', {
          ...admin.act(),
          name: params.name,
          kind: 'user',
          change,
        })
        if (password !== undefined) context.onPasswordChanged(params.name)
        return { done: true as const }
      },
      {
        params: t.Object({ name: Name }),
        body: t.Object({
          password: t.Optional(Password),
          isAdmin: t.Optional(t.Boolean()),
          disabled: t.Optional(t.Boolean()),
        }),
        response: { 200: Done, ...REFUSALS },
        detail: detail('Change a user: the password, server admin, disabled', 'changeUser'),
      },
    )
    .delete(
      '/:name',
      async ({ request, params }) => {
        const admin = await adminRequest(context, request)
        admin.requireAdmin()
        await context.metadata.write('removeAccount', { ...admin.act(), name: params.name, kind: 'user' })
        return { done: true as const }
      },
      {
        params: t.Object({ name: Name }),
        response: { 200: Done, ...REFUSALS },
        detail: detail('Remove a user with its robots, tokens and grants', 'removeUser'),
      },
    )
}

function toUser(row: AccountRow) {
  return {
    name: row.name,
    isAdmin: row.isAdmin,
    disabled: row.disabledAt !== null,
    createdAt: timeOf(row.createdAt) ?? '',
  }
}
