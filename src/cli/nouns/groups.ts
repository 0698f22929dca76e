import { apiPath } from '../admin-client.ts'
import { field } from '../output/format.ts'
import { add, card, change, plural } from '../requests.ts'
import type { Noun } from '../verb.ts'

/** `cay group` */
export const groups: Noun = {
  summary: 'Manage groups of accounts, which can be given grants',
  verbs: {
    list: {
      summary: 'List groups',
      isList: true,
      run: () => ({ list: '/groups', columns: [field('name', 'name')], none: 'There are no groups.' }),
    },
    show: {
      usage: '<group>',
      summary: 'Show the members of a group',
      run: ({ client, args: [name = ''] }) =>
        card(client, apiPath('groups', name), [field('Name', 'name'), field('Members', 'members')]),
    },
    add: {
      usage: '<name>',
      summary: 'Add a group',
      run: ({ client, args: [name = ''] }) => add(client, apiPath('groups', name)),
    },
    remove: {
      usage: '<group>',
      summary: 'Permanently delete a group and its grants',
      isDestructive: true,
      run: async ({ client, args: [name = ''], confirm }) => {
        const { members } = await client.request<{ members: string[] }>('GET', apiPath('groups', name))
        await confirm(
          `permanently deletes the group ${name} (${plural(members.length, 'member')}) and its grants`,
        )
        return change(client, 'DELETE', apiPath('groups', name))
      },
    },
    join: {
      usage: '<group> <accounts...>',
      summary: 'Add accounts to a group',
      run: ({ client, args: [name = '', ...add] }) =>
        change(client, 'PATCH', apiPath('groups', name), { add }),
    },
    leave: {
      usage: '<group> <accounts...>',
      summary: 'Remove accounts from a group',
      run: ({ client, args: [name = '', ...remove] }) =>
        change(client, 'PATCH', apiPath('groups', name), { remove }),
    },
  },
}
