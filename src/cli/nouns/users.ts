import { apiPath } from '../admin-client.ts'
import { importUsers } from '../input/htpasswd.ts'
import { readPasswords } from '../input/password-input.ts'
import { field, formatRelativeTime, formatTime, formatYes } from '../output/format.ts'
import { add, card, change, countOf, listing } from '../requests.ts'
import type { Noun, Verb } from '../verb.ts'

/** `cay user` */
export const users: Noun = {
  summary: 'Manage users: people who sign in with a password',
  verbs: {
    list: {
      summary: 'List users',
      isList: true,
      run: () =>
        listing(
          '/users',
          [
            field('name', 'name'),
            field('admin', 'admin', formatYes),
            field('disabled', 'disabled', formatYes),
            field('created', 'createdAt', formatTime),
          ],
          'There are no users.',
        ),
    },
    show: {
      usage: '<user>',
      summary: 'Show a user',
      run: ({ client, args: [name = ''] }) =>
        card(client, apiPath('users', name), [
          field('Name', 'name'),
          field('Server admin', 'admin', formatYes),
          field('Disabled', 'disabled', formatYes),
          field('Created', 'createdAt', formatRelativeTime),
        ]),
    },
    add: {
      usage: '<name>',
      summary: 'Add a user; asks for the password, or reads it from standard input',
      options: [['--admin', 'make the user a server admin, who can do everything']],
      run: async ({ client, args: [name = ''], options: { admin } }) =>
        add(client, apiPath('users', name), {
          password: (await readPasswords(`Password for ${name}`))[0],
          admin: admin === 'true',
        }),
    },
    passwd: {
      usage: '<user>',
      summary: "Change a user's password; asks for it, or reads it from standard input",
      options: [['--current', 'ask for the current password first; required when you use your own token']],
      run: async ({ client, args: [name = ''], options: { current } }) => {
        const questions = current === 'true' ? [`Current password for ${name}`] : []
        const answers = await readPasswords(...questions, `New password for ${name}`)
        const currentPassword = current === 'true' ? answers[0] : undefined
        return change(client, 'PATCH', apiPath('users', name), { password: answers.at(-1), currentPassword })
      },
    },
    import: {
      usage: '<file>',
      summary: 'Add the users of an htpasswd file with their passwords (bcrypt only: htpasswd -B)',
      run: async ({ client, args: [file = ''] }) => {
        const value = await importUsers(client, file)
        return { value, line: value.items.join('\n') }
      },
    },
    promote: flags('Make a user a server admin, who can do everything', { admin: true }),
    demote: flags('Make a server admin an ordinary user', { admin: false }),
    disable: flags('Disable a user, and its robots and tokens', { disabled: true }),
    enable: flags('Enable a user again', { disabled: false }),
    unlock: {
      usage: '<user>',
      summary: 'Let a user sign in again after too many wrong passwords',
      run: ({ client, args: [name = ''] }) => change(client, 'POST', `${apiPath('users', name)}/unlock`),
    },
    remove: {
      usage: '<user>',
      summary: 'Permanently delete a user, and its robots, tokens and grants',
      isDestructive: true,
      run: async ({ client, args: [name = ''], confirm }) => {
        await client.request('GET', apiPath('users', name))
        const tokens = await countOf(client, `${apiPath('accounts', name)}/tokens`, 'token')
        await confirm(
          `permanently deletes the user ${name}, ${tokens}, its grants, and its robots with theirs`,
        )
        return change(client, 'DELETE', apiPath('users', name))
      },
    },
  },
}

function flags(summary: string, body: object): Verb {
  return {
    usage: '<user>',
    summary,
    run: ({ client, args: [name = ''] }) => change(client, 'PATCH', apiPath('users', name), body),
  }
}
