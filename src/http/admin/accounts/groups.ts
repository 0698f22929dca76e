import { t } from 'elysia'
import { registryError } from '../../../oci/error.ts'
import { type AdminContext, controller } from '../context.ts'
import { operation } from '../operation.ts'
import { AccountName, DONE, Done, Name, PageQuery, page, pageOf } from '../schemas.ts'

const Group = t.Object({ name: Name, members: t.Array(AccountName) }, { description: 'A group' })

/** What each route does, and who may ask for it. */
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
    answer: Group,
    etag: true,
    errors: ['NOT_FOUND'],
  }),
  add: operation({
    id: 'addGroup',
    summary: 'Add a group',
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
    summary: 'Remove a group with its grants',
    access: 'admin',
    answer: Done,
    etag: true,
    errors: ['NOT_FOUND'],
  }),
}

/** GET /api/v1/groups; GET, PUT, PATCH and DELETE /api/v1/groups/:name */
export function groups(context: AdminContext) {
  const { metadata, changes } = context
  const findGroup = (name: string) => {
    const group = metadata.accounts.findGroup(name)
    return group && { name, members: metadata.accounts.membersOf(group.id) }
  }
  const getGroup = (name: string) => {
    const group = findGroup(name)
    if (group) return group
    throw registryError('NOT_FOUND', `there is no group ${name}`)
  }
  const params = t.Object({ name: Name })
  const names = t.Optional(t.Array(AccountName, { maxItems: 100 }))
  return controller(context, 'groups', '/groups')
    .get(
      '',
      ({ query }) => {
        const nameOf = ({ name }: { name: string }) => name
        return page(query, (limit) => metadata.accounts.listGroups(query.last ?? '', limit), nameOf, nameOf)
      },
      { query: PageQuery, ...OPERATIONS.list },
    )
    .get('/:name', ({ params: { name } }) => getGroup(name), { params, ...OPERATIONS.get })
    .put(
      '/:name',
      async ({ asker, params: { name }, request }) => {
        await changes.make(
          request,
          `group ${name}`,
          () => findGroup(name),
          async () => {
            if (findGroup(name) === undefined) await metadata.write('addGroup', { ...asker.act(), name })
          },
        )
        return DONE
      },
      { params, ...OPERATIONS.add },
    )
    .patch(
      '/:name',
      async ({ asker, params: { name }, body: { add = [], remove = [] }, request }) => {
        const change = () => metadata.write('changeMembers', { ...asker.act(), name, add, remove })
        await changes.make(request, `group ${name}`, () => findGroup(name), change)
        return DONE
      },
      {
        params,
        body: t.Object({ add: names, remove: names }),
        ...OPERATIONS.change,
      },
    )
    .delete(
      '/:name',
      async ({ asker, params: { name }, request }) => {
        const remove = () => metadata.write('removeGroup', { ...asker.act(), name })
        await changes.make(request, `group ${name}`, () => findGroup(name), remove)
        return DONE
      },
      { params, ...OPERATIONS.remove },
    )
}
