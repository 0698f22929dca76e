import { t } from 'elysia'
import { registryError } from '../../oci/error.ts'
import { type AdminContext, controller } from './context.ts'
import { AccountName, DONE, Done, Name, operation, PageQuery, page, pageOf } from './schemas.ts'

const Group = t.Object({ name: t.String(), members: t.Array(t.String()) }, { description: 'A group' })

/** GET /api/v1/groups; GET, PUT, PATCH and DELETE /api/v1/groups/:name */
export function groups(context: AdminContext) {
  const { metadata } = context
  const params = t.Object({ name: Name })
  const names = t.Optional(t.Array(AccountName, { maxItems: 100 }))
  return controller(context, 'groups', '/groups')
    .get(
      '',
      ({ asker, query: { last = '' } }) => {
        asker.admin()
        const nameOf = ({ name }: { name: string }) => name
        return page((limit) => metadata.accounts.listGroups(last, limit), nameOf, nameOf)
      },
      { query: PageQuery, ...operation('List groups', 'listGroups', pageOf(t.String(), 'Groups')) },
    )
    .get(
      '/:name',
      ({ asker, params: { name } }) => {
        asker.admin()
        const group = metadata.accounts.findGroup(name)
        if (group === undefined) throw registryError('NAME_UNKNOWN', `there is no group ${name}`)
        return { name, members: metadata.accounts.membersOf(group.id) }
      },
      { params, ...operation('Show a group', 'getGroup', Group) },
    )
    .put(
      '/:name',
      async ({ asker, params: { name } }) => {
        await metadata.write('addGroup', { ...asker.admin(), name })
        return DONE
      },
      { params, ...operation('Add a group', 'addGroup', Done) },
    )
    .patch(
      '/:name',
      async ({ asker, params: { name }, body: { add = [], remove = [] } }) => {
        await metadata.write('changeMembers', { ...asker.admin(), name, add, remove })
        return DONE
      },
      {
        params,
        body: t.Object({ add: names, remove: names }),
        ...operation('Add and remove members', 'changeGroup', Done),
      },
    )
    .delete(
      '/:name',
      async ({ asker, params: { name } }) => {
        await metadata.write('removeGroup', { ...asker.admin(), name })
        return DONE
      },
      { params, ...operation('Remove a group with its grants', 'removeGroup', Done) },
    )
}
