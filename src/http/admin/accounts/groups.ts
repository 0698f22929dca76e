import { t } from 'elysia'
import type { Group } from '../../../core/accounts/groups.ts'
import { type AdminContext, controller } from '../context.ts'
import { operation, tagged } from '../operation.ts'
import { AccountName, DONE, Done, mapPage, Name, PageQuery, pageOf } from '../schemas.ts'

const GroupModel = t.Object({ name: Name, members: t.Array(AccountName) }, { description: 'A group' })

/** The operations on groups. */
const OPERATIONS = {
  list: operation({
    id: 'listGroups',
    summary: 'List groups',
    access: 'admin',
    answer: pageOf(Name, 'Groups'),
  }),
  get: operation({
    id: 'getGroup',
    summary: 'Show a group',
    access: 'admin',
    answer: GroupModel,
    etag: true,
    errors: ['NOT_FOUND'],
  }),
  add: operation({
    id: 'addGroup',
    summary: 'Create a group',
    access: 'admin',
    answer: Done,
    etag: true,
  }),
  change: operation({
    id: 'changeGroup',
    summary: 'Add and remove members',
    access: 'admin',
    answer: Done,
    etag: true,
    errors: ['NOT_FOUND'],
  }),
  remove: operation({
    id: 'removeGroup',
    summary: 'Delete a group and its grants',
    access: 'admin',
    answer: Done,
    etag: true,
    errors: ['NOT_FOUND'],
  }),
}

/** GET /api/v1/groups; GET, PUT, PATCH and DELETE /api/v1/groups/:name */
export function groups(context: AdminContext) {
  const { groups } = context.accounts
  const params = t.Object({ name: Name })
  const names = t.Optional(t.Array(AccountName, { maxItems: 100 }))
  return controller(context, 'groups', '/groups')
    .get('', async ({ query }) => mapPage(await groups.list(query), String), {
      query: PageQuery,
      ...OPERATIONS.list,
    })
    .get('/:name', async ({ params: { name }, set }) => tagged(set, await groups.get(name), toGroup), {
      params,
      ...OPERATIONS.get,
    })
    .put(
      '/:name',
      async ({ principal, params: { name } }) => {
        await groups.put(principal.act(), name)
        return DONE
      },
      { params, ...OPERATIONS.add },
    )
    .patch(
      '/:name',
      async ({ principal, params: { name }, body: { add = [], remove = [] } }) => {
        await groups.change(principal.act(), name, { add, remove })
        return DONE
      },
      { params, body: t.Object({ add: names, remove: names }), ...OPERATIONS.change },
    )
    .delete(
      '/:name',
      async ({ principal, params: { name } }) => {
        await groups.delete(principal.act(), name)
        return DONE
      },
      { params, ...OPERATIONS.remove },
    )
}

function toGroup({ name, members }: Group) {
  return { name, members }
}
