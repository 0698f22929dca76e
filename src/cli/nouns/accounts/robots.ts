import { field } from '../../output/format.ts'
import { apiPath } from '../../remote/admin-client.ts'
import { change, countOf, create, lists, shows } from '../../remote/requests.ts'
import type { Noun, Verb } from '../../verb.ts'
import { newToken, TOKEN_OPTIONS, tokenSettings } from './tokens.ts'

/** `cay robot` */
export const robots: Noun = {
  summary: 'Manage robots: accounts for machines, named OWNER+NAME, which sign in with a token',
  verbs: {
    list: lists('List robots', '/robots', 'There are no robots.', [
      field('name', 'name'),
      field('disabled', 'disabled', 'yes'),
      field('created', 'createdAt', 'time'),
    ]),
    show: shows('<robot>', 'Show a robot', (name) => apiPath('robots', name), [
      field('Name', 'name'),
      field('Disabled', 'disabled', 'yes'),
      field('Created', 'createdAt', 'local time'),
    ]),
    create: {
      usage: '<owner+name>',
      summary: 'Create a robot and a token for it; the token is shown only once',
      options: TOKEN_OPTIONS,
      run: async ({ client, args: [name = ''], options }) => {
        await create(client, '', apiPath('robots', name))
        return newToken(
          client,
          name,
          { ...tokenSettings(options), name: 'first' },
          `created robot ${name}; its token`,
        )
      },
    },
    disable: flags('Disable a robot and its tokens', { disabled: true }),
    enable: flags('Enable a robot again', { disabled: false }),
    delete: {
      usage: '<robot>',
      summary: 'Permanently delete a robot, its tokens and its grants',
      isDestructive: true,
      run: async ({ client, args: [name = ''], confirm }) => {
        const tokens = await countOf(client, `${apiPath('accounts', name)}/tokens`, 'token')
        await confirm(`permanently deletes the robot ${name}, ${tokens} and its grants`)
        return change(client, `deleted robot ${name}`, 'DELETE', apiPath('robots', name))
      },
    },
  },
}

function flags(summary: string, body: { disabled: boolean }): Verb {
  return {
    usage: '<robot>',
    summary,
    run: ({ client, args: [name = ''] }) =>
      change(
        client,
        `${body.disabled ? 'disabled' : 'enabled'} robot ${name}`,
        'PATCH',
        apiPath('robots', name),
        body,
      ),
  }
}
