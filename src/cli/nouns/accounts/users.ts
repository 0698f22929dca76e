import type { Answer, Item } from '../../../http/admin/answers.ts'
import { CommandError, EXIT } from '../../failure.ts'
import { importUsers } from '../../input/htpasswd.ts'
import { readChange, readNewPassword } from '../../input/password-input.ts'
import type { Card } from '../../output/answer.ts'
import { field } from '../../output/format.ts'
import { type AdminClient, apiPath } from '../../remote/admin-client.ts'
import { allOf, card, change, countOf, create, lists, plural } from '../../remote/requests.ts'
import type { Noun, Verb } from '../../verb.ts'

/** `cay user` */
export const users: Noun = {
  summary: 'Manage users: people who sign in with a password',
  verbs: {
    list: lists('List users', '/users', 'There are no users.', [
      field('name', 'name'),
      field('admin', 'admin', 'yes'),
      field('disabled', 'disabled', 'yes'),
      field('created', 'createdAt', 'time'),
    ]),
    show: {
      usage: '<user>',
      summary: 'Show a user, and its groups and grants',
      run: async ({ client, args: [name = ''], options: { json } }) => {
        const user = await card(client, apiPath('users', name), [
          field('Name', 'name'),
          field('Server admin', 'admin', 'yes'),
          field('Disabled', 'disabled', 'yes'),
          field('Created', 'createdAt', 'local time'),
        ])
        return json === 'true' ? user : { ...user, ...(await memberships(client, name, user.lines)) }
      },
    },
    create: {
      usage: '<name>',
      summary: 'Create a user; asks for the password, or reads it from standard input',
      options: [['--admin', 'make the user a server admin, who can do everything']],
      run: async ({ client, args: [name = ''], options: { admin } }) =>
        create(client, `created user ${name}`, apiPath('users', name), {
          password: await readNewPassword(`Password for ${name}`),
          admin: admin === 'true',
        }),
    },
    passwd: {
      usage: '<user>',
      summary: "Change a user's password; asks for it, or reads it from standard input",
      options: [['--current', 'ask for the current password first; required when you use your own token']],
      run: async ({ client, args: [name = ''], options: { current } }) => {
        const before = current === 'true' ? `Current password for ${name}` : undefined
        const { password, currentPassword } = await readChange(`New password for ${name}`, before)
        return change(client, `changed the password of ${name}`, 'PATCH', apiPath('users', name), {
          password,
          currentPassword,
        })
      },
    },
    import: {
      usage: '<file>',
      summary: 'Create the users of an htpasswd file with their passwords (bcrypt only: htpasswd -B)',
      run: async ({ client, args: [file = ''] }) => {
        const value = await importUsers(client, file)
        return { value, line: `created ${plural(value.items.length, 'user')}: ${value.items.join(', ')}` }
      },
    },
    promote: flags('Make a user a server admin, who can do everything', 'is a server admin', {
      admin: true,
    }),
    demote: flags('Make a server admin an ordinary user', 'is an ordinary user', { admin: false }),
    disable: flags('Disable a user, and its robots and tokens', 'is disabled', { disabled: true }),
    enable: flags('Enable a user again', 'is enabled', { disabled: false }),
    unlock: {
      usage: '<user>',
      summary: 'Let a user sign in again after too many wrong passwords',
      run: ({ client, args: [name = ''] }) =>
        change(client, `${name} can sign in again`, 'POST', `${apiPath('users', name)}/unlock`),
    },
    delete: {
      usage: '<user>',
      summary: 'Permanently delete a user, and its robots, tokens and grants',
      isDestructive: true,
      run: async ({ client, args: [name = ''], confirm }) => {
        await client.request('GET', apiPath('users', name))
        const tokens = await countOf(client, `${apiPath('accounts', name)}/tokens`, 'token')
        await confirm(
          `permanently deletes the user ${name}, ${tokens}, its grants, and its robots with theirs`,
        )
        return change(client, `deleted user ${name}`, 'DELETE', apiPath('users', name))
      },
    },
  },
}

/** How many groups are examined for a user. */
const GROUPS_MAX = 200

/** Returns what `cay user show` adds for a server admin: the groups of an account, and its grants. */
async function memberships(client: AdminClient, name: string, lines: Card['lines']): Promise<Partial<Card>> {
  try {
    const groups = (await allOf<Item<'groups'>>(client, '/groups'))
      .slice(0, GROUPS_MAX)
      .map((group) => group.name)
    const members = await Promise.all(
      groups.map((group) => client.request<Answer<'groups/:name'>>('GET', apiPath('groups', group))),
    )
    const own = groups.filter((_, at) => members[at]?.members.includes(name))
    const subjects = [name, ...own.map((group) => `group:${group}`)]
    const grants = await allOf<Item<'grants'>>(client, '/grants')
    return {
      lines: [...lines, field('Groups', '', () => own.join(', '))],
      tables: [
        {
          title: 'Grants',
          items: grants.filter(({ subject }) => subjects.includes(subject)),
          columns: [field('subject', 'subject'), field('pattern', 'pattern'), field('role', 'role')],
        },
      ],
    }
  } catch (error) {
    // Only server admins can list groups.
    if (error instanceof CommandError && error.exit === EXIT.denied) return {}
    throw error
  }
}

function flags(summary: string, state: string, body: object): Verb {
  return {
    usage: '<user>',
    summary,
    run: ({ client, args: [name = ''] }) =>
      change(client, `${name} ${state}`, 'PATCH', apiPath('users', name), body),
  }
}
