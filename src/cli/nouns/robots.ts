import { apiPath } from '../admin-client.ts'
import { field, formatRelativeTime, formatTime, formatYes } from '../output/format.ts'
import { add, card, change, countOf, listing } from '../requests.ts'
import type { Noun, Verb } from '../verb.ts'
import { newToken } from './tokens.ts'

/** `cay robot` */
export const robots: Noun = {
  summary: 'Manage robots: accounts for machines, named OWNER+NAME, which sign in with a token',
  verbs: {
    list: {
      summary: 'List robots',
      isList: true,
      run: () =>
        listing(
          '/robots',
          [
            field('name', 'name'),
            field('disabled', 'disabled', formatYes),
            field('created', 'createdAt', formatTime),
          ],
          'There are no robots.',
        ),
    },
    show: {
      usage: '<robot>',
      summary: 'Show a robot',
      run: ({ client, args: [name = ''] }) =>
        card(client, apiPath('robots', name), [
          field('Name', 'name'),
          field('Disabled', 'disabled', formatYes),
          field('Created', 'createdAt', formatRelativeTime),
        ]),
    },
    add: {
      usage: '<owner+name>',
      summary: 'Add a robot and create a token for it; the token is shown only once',
      run: async ({ client, args: [name = ''] }) => {
        await add(client, apiPath('robots', name))
        return newToken(client, name, { name: 'first' })
      },
    },
    disable: flags('Disable a robot and its tokens', { disabled: true }),
    enable: flags('Enable a robot again', { disabled: false }),
    remove: {
      usage: '<robot>',
      summary: 'Permanently delete a robot, its tokens and its grants',
      isDestructive: true,
      run: async ({ client, args: [name = ''], confirm }) => {
        const tokens = await countOf(client, `${apiPath('accounts', name)}/tokens`, 'token')
        await confirm(`permanently deletes the robot ${name}, ${tokens} and its grants`)
        return change(client, 'DELETE', apiPath('robots', name))
      },
    },
  },
}

function flags(summary: string, body: object): Verb {
  return {
    usage: '<robot>',
    summary,
    run: ({ client, args: [name = ''] }) => change(client, 'PATCH', apiPath('robots', name), body),
  }
}
