import type { Answer } from '../../../http/admin/answers.ts'
import { field } from '../../output/format.ts'
import { apiPath } from '../../remote/admin-client.ts'
import { change, create, lists, plural, shows } from '../../remote/requests.ts'
import type { Noun } from '../../verb.ts'

/** `cay group` */
export const groups: Noun = {
  summary: 'Manage groups of accounts, which can be given grants',
  verbs: {
    list: lists('List groups', '/groups', 'There are no groups.', [field('name', 'name')]),
    show: shows('<group>', 'Show the members of a group', (name) => apiPath('groups', name), [
      field('Name', 'name'),
      field('Members', 'members'),
    ]),
    create: {
      usage: '<name>',
      summary: 'Create a group',
      run: ({ client, args: [name = ''] }) =>
        create(client, `created group ${name}`, apiPath('groups', name)),
    },
    delete: {
      usage: '<group>',
      summary: 'Permanently delete a group and its grants',
      isDestructive: true,
      run: async ({ client, args: [name = ''], confirm }) => {
        const { members } = await client.request<Answer<'groups/:name'>>('GET', apiPath('groups', name))
        await confirm(
          `permanently deletes the group ${name} (${plural(members.length, 'member')}) and its grants`,
        )
        return change(client, `deleted group ${name}`, 'DELETE', apiPath('groups', name))
      },
    },
    join: {
      usage: '<group> <accounts...>',
      summary: 'Add accounts to a group',
      run: ({ client, args: [name = '', ...add] }) =>
        change(client, `added ${add.join(', ')} to group ${name}`, 'PATCH', apiPath('groups', name), { add }),
    },
    leave: {
      usage: '<group> <accounts...>',
      summary: 'Remove accounts from a group',
      run: ({ client, args: [name = '', ...remove] }) =>
        change(client, `removed ${remove.join(', ')} from group ${name}`, 'PATCH', apiPath('groups', name), {
          remove,
        }),
    },
  },
}
