import { type AdminClient, listAll } from './admin-client.ts'
import { importUsers } from './htpasswd.ts'
import { readPassword } from './password-input.ts'

/** One command: an act of the admin API. What it answers is printed. */
export interface Verb {
  usage: string
  summary: string
  options?: [flags: string, description: string][]
  run: (client: AdminClient, args: string[], options: Record<string, string>) => Promise<unknown>
}

export interface Noun {
  summary: string
  verbs: Record<string, Verb>
}

const path = (...parts: string[]) => parts.map((part) => `/${encodeURIComponent(part)}`).join('')

/** Each noun with its verbs. */
export const NOUNS: Record<string, Noun> = {
  user: {
    summary: 'Users: people who sign in with a password',
    verbs: {
      list: { usage: '', summary: 'List users', run: (client) => listAll(client, '/users') },
      add: {
        usage: '<name>',
        summary: 'Add a user; the password is asked for, or read from standard input',
        options: [['--admin', 'make a server admin, who may do all']],
        run: async (client, [name = ''], { admin }) =>
          client.request('PUT', path('users', name), {
            password: await readPassword(name),
            isAdmin: admin === 'true',
          }),
      },
      passwd: {
        usage: '<name>',
        summary: "Change a user's password",
        run: async (client, [name = '']) =>
          client.request('PATCH', path('users', name), { password: await readPassword(name) }),
      },
      import: {
        usage: '<file>',
        summary: 'Add the users of an htpasswd file with the passwords they have (bcrypt: htpasswd -B)',
        run: (client, [file = '']) => importUsers(client, file),
      },
      promote: change('users', 'Make a user a server admin, who may do all', { isAdmin: true }),
      demote: change('users', 'Make a server admin an ordinary user', { isAdmin: false }),
      disable: change('users', 'Disable a user, with its robots and tokens', { disabled: true }),
      enable: change('users', 'Enable a user again', { disabled: false }),
      remove: {
        usage: '<name>',
        summary: 'Remove a user with its robots, tokens and grants',
        run: (client, [name = '']) => client.request('DELETE', path('users', name)),
      },
    },
  },
  robot: {
    summary: 'Robots: accounts for machines, OWNER+NAME, which sign in with a token',
    verbs: {
      list: { usage: '', summary: 'List robots', run: (client) => listAll(client, '/robots') },
      add: {
        usage: '<owner+name>',
        summary: 'Add a robot, and a token for it, which is shown once',
        run: async (client, [name = '']) => {
          await client.request('PUT', path('robots', name))
          return client.request('POST', `${path('accounts', name)}/tokens`, { name: 'first' })
        },
      },
      disable: change('robots', 'Disable a robot with its tokens', { disabled: true }),
      enable: change('robots', 'Enable a robot again', { disabled: false }),
      remove: {
        usage: '<owner+name>',
        summary: 'Remove a robot with its tokens and grants',
        run: (client, [name = '']) => client.request('DELETE', path('robots', name)),
      },
    },
  },
  token: {
    summary: 'Tokens of users and robots',
    verbs: {
      list: {
        usage: '<account>',
        summary: 'List the tokens of an account',
        run: (client, [account = '']) => listAll(client, `${path('accounts', account)}/tokens`),
      },
      add: {
        usage: '<account> <name>',
        summary: 'Make a token, which is shown once',
        options: [
          ['--days <number>', 'days until it expires'],
          ['--scope <rules>', 'narrow it: PATTERN=ROLE, with commas between'],
        ],
        run: (client, [account = '', name = ''], { days, scope }) =>
          client.request('POST', `${path('accounts', account)}/tokens`, {
            name,
            ...(days === undefined ? {} : { expiresInDays: Number(days) }),
            ...(scope === undefined ? {} : { scope: scope.split(',').map(toRule) }),
          }),
      },
      remove: {
        usage: '<account> <id>',
        summary: 'Revoke a token',
        run: (client, [account = '', id = '']) =>
          client.request('DELETE', path('accounts', account, 'tokens', id)),
      },
    },
  },
  group: {
    summary: 'Groups of accounts, as subjects of grants',
    verbs: {
      list: { usage: '', summary: 'List groups', run: (client) => listAll(client, '/groups') },
      show: {
        usage: '<name>',
        summary: 'Show the members of a group',
        run: (client, [name = '']) => client.request('GET', path('groups', name)),
      },
      add: {
        usage: '<name>',
        summary: 'Add a group',
        run: (client, [name = '']) => client.request('PUT', path('groups', name)),
      },
      remove: {
        usage: '<name>',
        summary: 'Remove a group with its grants',
        run: (client, [name = '']) => client.request('DELETE', path('groups', name)),
      },
      join: {
        usage: '<name> <accounts...>',
        summary: 'Add members',
        run: (client, [name = '', ...add]) => client.request('PATCH', path('groups', name), { add }),
      },
      leave: {
        usage: '<name> <accounts...>',
        summary: 'Remove members',
        run: (client, [name = '', ...remove]) => client.request('PATCH', path('groups', name), { remove }),
      },
    },
  },
  grant: {
    summary: 'Grants: a role on the repositories of a pattern',
    verbs: {
      list: { usage: '', summary: 'List grants', run: (client) => listAll(client, '/grants') },
      add: {
        usage: '<subject> <pattern> <role>',
        summary: 'Grant reader, writer or admin to an account, group:NAME, authenticated or anonymous',
        run: (client, [subject, pattern, role]) =>
          client.request('PUT', '/grants', { subject, pattern, role }),
      },
      remove: {
        usage: '<subject> <pattern>',
        summary: 'Take a grant back',
        run: (client, [subject = '', pattern = '']) =>
          client.request('DELETE', `/grants?${new URLSearchParams({ subject, pattern })}`),
      },
    },
  },
  key: {
    summary: 'Keys that sign the short-lived tokens of /token',
    verbs: {
      list: {
        usage: '',
        summary: 'List the keys, oldest first: the last one signs',
        run: (client) => listAll(client, '/signing-keys'),
      },
      rotate: {
        usage: '',
        summary: 'Sign with a new key from now on; tokens of the others end as they would',
        run: (client) => client.request('POST', '/signing-keys'),
      },
    },
  },
}

/** `cay audit` */
export const AUDIT: Verb = {
  usage: '',
  summary: 'Read the audit trail, newest first',
  options: [['--all', 'the whole trail, not only the newest acts']],
  run: (client, _, options) =>
    options.all === 'true' ? listAll(client, '/audit') : client.request('GET', '/audit'),
}

function change(nouns: 'users' | 'robots', summary: string, flags: object): Verb {
  return {
    usage: nouns === 'users' ? '<name>' : '<owner+name>',
    summary,
    run: (client, [name = '']) => client.request('PATCH', path(nouns, name), flags),
  }
}

function toRule(text: string): { pattern: string; role: string } {
  const [pattern = '', role = ''] = text.split('=')
  return { pattern, role }
}
