import { Elysia, t } from 'elysia'
import { registryError } from '../../oci/error.ts'
import { type AdminContext, adminRequest } from './context.ts'
import { AccountName, Done, Name, PageQuery, page, pageOf, REFUSALS, SECURITY } from './schemas.ts'

const Group = t.Object({ name: t.String(), members: t.Array(t.String()) }, { description: 'A group' })

/** GET /api/v1/groups, PUT, PATCH and DELETE /api/v1/groups/:name */
export function groups(context: AdminContext) {
  const detail = (summary: string, operationId: string) => ({ summary, operationId, security: SECURITY })
  const params = t.Object({ name: Name })
  const names = t.Optional(t.Array(AccountName, { maxItems: 100 }))
  return new Elysia({ name: 'groups', prefix: '/groups', tags: ['accounts'] })
    .get(
      '/',
      async ({ request, query }) => {
        ;(await adminRequest(context, request)).requireAdmin()
        const list = (limit: number) => context.metadata.accounts.listGroups(query.last ?? '', limit)
        const { items, ...rest } = page(list, ({ name }) => name)
        return { items: items.map(({ name }) => name), ...rest }
      },
      {
        query: PageQuery,
        response: { 200: pageOf(t.String(), 'Groups'), ...REFUSALS },
        detail: detail('List groups', 'listGroups'),
      },
    )
    .get(
      '/:name',
      async ({ request, params: { name } }) => {
        ;(await adminRequest(context, request)).requireAdmin()
        const group = context.metadata.accounts.findGroup(name)
        if (group === undefined) throw registryError('NAME_UNKNOWN', `there is no group ${name}`)
        return { name, members: context.metadata.accounts.membersOf(group.id) }
      },
      { params, response: { 200: Group, ...REFUSALS }, detail: detail('Show a group', 'getGroup') },
    )
    .put(
      '/:name',
      async ({ request, params: { name } }) => {
        const admin = await adminRequest(context, request)
        admin.requireAdmin()
        await context.metadata.write('addGroup', { ...admin.act(), name })
        return { done: true as const }
      },
      { params, response: { 200: Done, ...REFUSALS }, detail: detail('Add a group', 'addGroup') },
    )
    .patch(
      '/:name',
      async ({ request, params: { name }, body }) => {
        const admin = await adminRequest(context, request)
        admin.requireAdmin()
        const { add = [], remove = [] } = body
        await context.metadata.write('changeMembers', { ...admin.act(), name, add, remove })
        return { done: true as const }
      },
      {
        params,
        body: t.Object({ add: names, remove: names }),
        response: { 200: Done, ...REFUSALS },
        detail: detail('Add and remove members', 'changeGroup'),
      },
    )
    .delete(
      '/:name',
      async ({ request, params: { name } }) => {
        const admin = await adminRequest(context, request)
        admin.requireAdmin()
        await context.metadata.write('removeGroup', { ...admin.act(), name })
        return { done: true as const }
      },
      {
        params,
        response: { 200: Done, ...REFUSALS },
        detail: detail('Remove a group with its grants', 'removeGroup'),
      },
    )
}
