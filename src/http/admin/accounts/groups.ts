import { t } from 'elysia'
import type { Group } from '../../../core/accounts/groups.ts'
import { type AdminContext, controller } from '../context.ts'
import { markCreated, operation, tagged } from '../operation.ts'
import { AccountName, mapPage, Name, PageQuery, pageOf } from '../schemas.ts'

const GroupModel = t.Object({ name: Name, members: t.Array(AccountName) }, { description: 'A group' })

/** The operations on groups. */
const OPERATIONS = {
  list: operation({
    id: 'listGroups',
    summary: 'List groups',
    access: 'admin',
    answer: pageOf(t.Object({ name: Name }), 'Groups'),
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
    id: 'putGroup',
    summary: 'Create a group',
    access: 'admin',
    answer: GroupModel,
    creates: 'unless-it-exists',
    etag: true,
  }),
  change: operation({
    id: 'updateGroup',
    summary: 'Add and remove members',
    access: 'admin',
    answer: GroupModel,
    etag: true,
    errors: ['NOT_FOUND'],
  }),
  remove: operation({
    id: 'deleteGroup',
    summary: 'Delete a group and its grants',
    access: 'admin',
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
    .get('/:name', async ({ params: { name }, set }) => tagged(set, await groups.get(name), toGroup), {
      params,
      ...OPERATIONS.get,
    })
    .put(
      '/:name',
      async ({ principal, params: { name }, set }) => {
        markCreated(set, await groups.put(principal.act(), name))
        return tagged(set, await groups.get(name), toGroup)
      },
      { params, ...OPERATIONS.add },
    )
    .patch(
      '/:name',
      async ({ principal, params: { name }, body: { add = [], remove = [] }, set }) => {
        await groups.change(principal.act(), name, { add, remove })
        return tagged(set, await groups.get(name), toGroup)
      },
      { params, body: t.Object({ add: added, remove: removed }), ...OPERATIONS.change },
    )
    .delete(
      '/:name',
      async ({ principal, params: { name } }) => {
        await groups.delete(principal.act(), name)
      },
      { params, ...OPERATIONS.remove },
    )
}

function toGroup({ name, members }: Group) {
  return { name, members }
}
