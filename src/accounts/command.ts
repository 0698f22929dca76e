import { matchesPattern, parseRepositoryPattern } from '../access/patterns.ts'
import type { Card } from '../cli/answer.ts'
import { type AdminClient, apiPath, ONLY_NEW, withQuery } from '../cli/client.ts'
import { CommandError, EXIT } from '../cli/failure.ts'
import { readChange, readNewPassword } from '../cli/input.ts'
import { field } from '../cli/output.ts'
import {
  allOf,
  card,
  change,
  countOf,
  create,
  lists,
  type Noun,
  plural,
  shows,
  type Verb,
} from '../cli/verb.ts'
import type { AnswerOf, ItemOf } from '../http/operation.ts'
import { parseRepositoryName } from '../oci/reference.ts'
import { findToken, newToken, TOKEN_OPTIONS, tokenSettings } from './credential-command.ts'
import type { AccountsRoutes } from './models.ts'

type User = ItemOf<AccountsRoutes, 'users'>
type Group = AnswerOf<AccountsRoutes, 'groups/:name'>
type Grant = ItemOf<AccountsRoutes, 'grants'>
type Access = AnswerOf<AccountsRoutes, 'access'>

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
    promote: sets('user', 'Make a user a server admin, who can do everything', 'NAME is a server admin', {
      admin: true,
    }),
    demote: sets('user', 'Make a server admin an ordinary user', 'NAME is an ordinary user', {
      admin: false,
    }),
    disable: sets('user', 'Disable a user, and its robots and tokens', 'NAME is disabled', {
      disabled: true,
    }),
    enable: sets('user', 'Enable a user again', 'NAME is enabled', { disabled: false }),
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
    const known = (await allOf<ItemOf<AccountsRoutes, 'groups'>>(client, '/groups')).slice(0, GROUPS_MAX)
    const groups = await Promise.all(
      known.map((group) => client.request<Group>('GET', apiPath('groups', group.name))),
    )
    const own = groups.filter(({ members }) => members.includes(name)).map((group) => group.name)
    const subjects = [name, ...own.map((group) => `group:${group}`)]
    const grants = await allOf<Grant>(client, '/grants')
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

/** Returns the verb that changes flags of a user or a robot. The report names it in the place of NAME. */
function sets(noun: 'user' | 'robot', summary: string, report: string, body: object): Verb {
  return {
    usage: `<${noun}>`,
    summary,
    run: ({ client, args: [name = ''] }) =>
      change(
        client,
        report.replace('NAME', () => name),
        'PATCH',
        apiPath(`${noun}s`, name),
        body,
      ),
  }
}

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
        const token = { ...tokenSettings(options), name: 'first' }
        return newToken(client, name, token, `created robot ${name}; its token`)
      },
    },
    disable: sets('robot', 'Disable a robot and its tokens', 'disabled robot NAME', { disabled: true }),
    enable: sets('robot', 'Enable a robot again', 'enabled robot NAME', { disabled: false }),
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
        const { members } = await client.request<Group>('GET', apiPath('groups', name))
        const contents = plural(members.length, 'member')
        await confirm(`permanently deletes the group ${name} (${contents}) and its grants`)
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

/** `cay grant` */
export const grants: Noun = {
  summary: 'Manage grants: roles in the repositories that match a pattern',
  verbs: {
    list: lists('List grants', '/grants', 'There are no grants.', [
      field('subject', 'subject'),
      field('pattern', 'pattern'),
      field('role', 'role'),
      field('created', 'createdAt', 'time'),
    ]),
    create: {
      usage: '<subject> <pattern> <role>',
      summary: 'Grant the role reader, writer or admin to an account, group:NAME, authenticated or anonymous',
      run: async ({ client, args: [subject = '', pattern = '', role = ''], terminal }) => {
        if (!ROLES.includes(role))
          throw new CommandError(`unknown role "${role}": expected ${ROLES.join(', ')}`, EXIT.usage)
        const grant = { subject, pattern, role }
        const report = `${subject} has the role ${role} on ${pattern}`
        const line = await change(client, report, 'PUT', '/grants', grant)
        const missing = await missingOfOwner(client, subject, pattern, role)
        if (missing.length > 0) {
          const owner = subject.split('+')[0]
          terminal.note(
            `cay: warning: ${subject} cannot ${missing.join(' or ')} there, because a robot can never do more than its owner, and ${owner} cannot`,
          )
        }
        return line
      },
    },
    delete: {
      usage: '<subject> <pattern>',
      summary: 'Delete a grant',
      isDestructive: true,
      run: async ({ client, args: [subject = '', pattern = ''], confirm }) => {
        await confirm(`deletes the grant of ${subject} on ${pattern}`)
        const path = withQuery('/grants', { subject, pattern })
        return change(client, `deleted the grant of ${subject} on ${pattern}`, 'DELETE', path)
      },
    },
  },
}

const ROLES = ['reader', 'writer', 'admin']

/** What each role allows. */
const ACTIONS: Readonly<Record<string, Access['actions']>> = {
  reader: ['pull'],
  writer: ['pull', 'push'],
  admin: ['pull', 'push', 'delete'],
}

/** Returns the actions of the role that the owner of a robot does not have in a repository that matches the pattern. */
async function missingOfOwner(
  client: AdminClient,
  subject: string,
  pattern: string,
  role: string,
): Promise<readonly string[]> {
  const [owner, robot] = subject.split('+')
  if (robot === undefined) return []
  const repository = pattern.replaceAll(/\*+/g, 'x')
  const path = withQuery('/access', { account: owner, repository })
  const { actions } = await client.request<Access>('GET', path)
  return (ACTIONS[role] ?? []).filter((action) => !actions.includes(action))
}

/** `cay access` */
export const access: Noun = {
  summary: 'Explain what an account can do in a repository',
  byDefault: 'show',
  verbs: {
    show: {
      usage: '<account> [repository]',
      shown: '[ACCOUNT] REPOSITORY',
      summary: 'Show what an account (or anonymous) can do in a repository and why, or who has a role in it',
      options: [
        [
          '--with <token>',
          'check one of the tokens of the account, by name or id; a token can have a narrower scope',
        ],
      ],
      run: async ({ client, args: [account = '', repository], options }) => {
        if (repository === undefined) return whoHasAccess(client, account)
        const query = { account: account === 'anonymous' ? undefined : account, repository }
        const credentialId = options.with && (await findToken(client, account, options.with))
        const path = withQuery('/access', { ...query, credentialId })
        const value = await client.request<Access>('GET', path)
        const may = value.actions.length === 0 ? 'nothing' : value.actions.join(', ')
        const disabled = value.disabled ? ' (the account is disabled)' : ''
        return {
          value,
          lines: [field(`${account} can`, 'actions', () => may + disabled)],
          tables: [
            {
              title: 'Granted by',
              items: value.reasons,
              columns: [
                field('reason', 'source'),
                field('subject', 'subject'),
                field('pattern', 'pattern'),
                field('role', 'role'),
                field('gives', 'actions'),
              ],
            },
            {
              title: 'Limited by',
              items: value.limits,
              columns: [field('what', 'source'), field('name', 'name'), field('leaves', 'actions')],
            },
          ],
        }
      },
    },
  },
}

/** Returns who has a role in a repository: by a grant, by owning its namespace, or as a server admin. */
async function whoHasAccess(client: AdminClient, repository: string): Promise<Card> {
  const grants = await allOf<Grant>(client, '/grants')
  const users = await allOf<User>(client, '/users')
  const name = parseRepositoryName(repository)
  const granted = grants.filter(({ pattern }) => matchesPattern(parseRepositoryPattern(pattern), name))
  const limits = new Map<string, string>()
  for (const subject of new Set(granted.map((grant) => grant.subject).filter((name) => name.includes('+'))))
    limits.set(subject, await limitOf(client, subject, repository))
  const items = [
    ...users
      .filter(({ admin }) => admin)
      .map((user) => ({ subject: user.name, role: 'admin', why: 'server admin' })),
    ...users
      .filter((user) => repository.startsWith(`${user.name}/`))
      .map((user) => ({ subject: user.name, role: 'admin', why: 'own namespace' })),
    ...granted.map(({ subject, role, pattern }) => {
      return { subject, role, why: `grant on ${pattern}${limits.get(subject) ?? ''}` }
    }),
  ]
  return {
    value: { items },
    lines: [field('Repository', '', () => repository)],
    tables: [
      {
        title: 'Who has a role',
        items,
        columns: [field('subject', 'subject'), field('role', 'role'), field('why', 'why')],
      },
    ],
  }
}

/** Returns in words that a robot can do less than it is granted, because its owner can; empty if it can do that. */
async function limitOf(client: AdminClient, account: string, repository: string): Promise<string> {
  const path = withQuery('/access', { account, repository })
  const { actions, reasons, limits } = await client.request<Access>('GET', path)
  if (reasons.every((reason) => reason.actions.every((action) => actions.includes(action)))) return ''
  const owner = limits.find(({ source }) => source === 'owner')
  return `, but ${owner ? `its owner ${owner.name}` : 'the robot'} can ${actions.length === 0 ? 'do nothing' : `only ${actions.join(', ')}`} there`
}

/** Adds a user for each line NAME:HASH of an htpasswd file, and returns the names. Throws at the first refused one. */
async function importUsers(client: AdminClient, file: string): Promise<{ items: string[] }> {
  const users = parseHtpasswd(await Bun.file(file).text())
  for (const { name, passwordHash } of users) {
    await client.request('PUT', `/users/${encodeURIComponent(name)}`, { passwordHash }, ONLY_NEW)
  }
  return { items: users.map(({ name }) => name) }
}

/** Parses an htpasswd file. Throws an Error with the number of the first invalid line. */
export function parseHtpasswd(text: string): { name: string; passwordHash: string }[] {
  return text.split(/\r?\n/).flatMap((line, index) => {
    if (line.trim() === '' || line.startsWith('#')) return []
    const [name = '', passwordHash = ''] = line.split(':')
    if (name !== '' && passwordHash !== '') return [{ name, passwordHash: passwordHash.trim() }]
    throw new Error(`line ${index + 1} of the htpasswd file is not NAME:HASH`)
  })
}
