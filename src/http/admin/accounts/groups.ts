import { t } from 'elysia'
import { type AdminContext, controller } from '../context.ts'
import { markCreated, operation } from '../operation.ts'
import { AccountName, mapPage, Name, PageQuery, pageOf } from '../schemas.ts'

const GroupModel = t.Object({ name: Name, members: t.Array(AccountName) }, { description: 'A group' })

/** The operations on groups. */
const OPERATIONS = {
  list: operation('listGroups', 'admin', 'List groups', {
    answer: pageOf(t.Object({ name: Name }), 'Groups'),
  }),
  get: operation('getGroup', 'admin', 'Show a group', {
    answer: GroupModel,
    etag: true,
    errors: ['NOT_FOUND'],
  }),
  add: operation('putGroup', 'admin', 'Create a group', {
    answer: GroupModel,
    creates: 'unless-it-exists',
    etag: true,
  }),
  change: operation('updateGroup', 'admin', 'Add and remove members', {
    answer: GroupModel,
    etag: true,
    errors: ['NOT_FOUND'],
  }),
  remove: operation('deleteGroup', 'admin', 'Delete a group and its grants', {
    etag: true,
    errors: ['NOT_FOUND'],
  }),
}

/** GET /api/v1/groups; GET, PUT, PATCH and DELETE /api/v1/groups/:name */
export function groups(context: AdminContext) {
  const { groups } = context.accounts
  const params = t.Object({ name: Name })
  const added = t.Optional(t.Array(AccountName, { maxItems: 100, example: ['alice'] }))
  const removed = t.Optional(t.Array(AccountName, { maxItems: 100 }))
  return controller(context, 'groups', '/groups')
    .get('', async ({ query }) => mapPage(await groups.list(query), (name) => ({ name })), {
      query: PageQuery,
      ...OPERATIONS.list,
    })
    .get('/:name', ({ params: { name } }) => groups.get(name), {
      params,
      ...OPERATIONS.get,
    })
    .put(
      '/:name',
      async ({ principal, params: { name }, set }) => {
        markCreated(set, await groups.put(principal.act(), name))
        return await groups.get(name)
      },
      { params, ...OPERATIONS.add },
    )
    .patch(
      '/:name',
      async ({ principal, params: { name }, body: { add = [], remove = [] } }) => {
        await groups.change(principal.act(), name, { add, remove })
        return await groups.get(name)
      },
      { params, body: t.Object({ add: added, remove: removed }), ...OPERATIONS.change },
    )
    .delete('/:name', ({ principal, params: { name } }) => groups.delete(principal.act(), name), {
      params,
      ...OPERATIONS.remove,
    })
}
