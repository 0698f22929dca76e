import type { Command } from 'commander'
import type { LoadedConfig } from '../config.ts'
import { type AdminClient, openAdminClient } from './admin-client.ts'
import { readPassword } from './password-input.ts'

/** How the commands get at the configuration that their options name. */
export type Load = (options: Record<string, string>) => Promise<LoadedConfig>

interface Verb {
  usage: string
  summary: string
  options?: [flags: string, description: string][]
  run: (client: AdminClient, args: string[], options: Record<string, string>) => Promise<unknown>
}

const path = (...parts: string[]) => parts.map((part) => `/${encodeURIComponent(part)}`).join('')

/** Each noun with its verbs: an act of the admin API each. What a verb answers is printed. */
const NOUNS: Record<string, { summary: string; verbs: Record<string, Verb> }> = {
  user: {
    summary: 'Users: people who sign in with a password',
    verbs: {
      list: { usage: '', summary: 'List users', run: (client) => all(client, '/users') },
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
      disable: {
        usage: '<name>',
        summary: 'Disable a user, with its robots and tokens',
        run: (client, [name = '']) => client.request('PATCH', path('users', name), { disabled: true }),
      },
      enable: {
        usage: '<name>',
        summary: 'Enable a user again',
        run: (client, [name = '']) => client.request('PATCH', path('users', name), { disabled: false }),
      },
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
      list: { usage: '', summary: 'List robots', run: (client) => all(client, '/robots') },
      add: {
        usage: '<owner+name>',
        summary: 'Add a robot, and a token for it, which is shown once',
        run: async (client, [name = '']) => {
          await client.request('PUT', path('robots', name))
          return client.request('POST', `${path('accounts', name)}/tokens`, { name: 'first' })
        },
      },
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
        run: (client, [account = '']) => all(client, `${path('accounts', account)}/tokens`),
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
      list: { usage: '', summary: 'List groups', run: (client) => all(client, '/groups') },
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
      list: { usage: '', summary: 'List grants', run: (client) => all(client, '/grants') },
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
}

/** Adds `cay <noun> <verb>` for accounts, groups and grants, and `cay audit`. */
export function addAccountCommands(
  program: Command,
  load: Load,
  withPlace: (command: Command) => Command,
): void {
  for (const [noun, { summary, verbs }] of Object.entries(NOUNS)) {
    const parent = program.command(noun).description(summary)
    for (const [verb, one] of Object.entries(verbs)) addVerb(parent, verb, one, load, withPlace)
  }
  const audit: Verb = {
    usage: '',
    summary: 'Read the audit trail, newest first',
    run: (client) => client.request('GET', '/audit'),
  }
  addVerb(program, 'audit', audit, load, withPlace)
}

function addVerb(
  parent: Command,
  verb: string,
  one: Verb,
  load: Load,
  withPlace: (command: Command) => Command,
) {
  const command = withPlace(parent.command(`${verb} ${one.usage}`.trim()).description(one.summary))
  command.option('--json', 'print JSON')
  for (const [flags, description] of one.options ?? []) command.option(flags, description)
  command.action(async (...given: unknown[]) => {
    const args = given.slice(0, -2).flat() as string[]
    const options = Object.fromEntries(
      Object.entries(command.opts()).map(([key, value]) => [key, String(value)]),
    )
    const client = await openAdminClient((await load(options)).config)
    try {
      process.stdout.write(render(await one.run(client, args, options), options.json === 'true'))
    } finally {
      await client.close()
    }
  })
}

/** All entries of a list, page by page. */
async function all(client: AdminClient, list: string): Promise<unknown[]> {
  const found: unknown[] = []
  for (let last: string | undefined = ''; last !== undefined; ) {
    const query: string = last === '' ? '' : `?${new URLSearchParams({ last })}`
    const page: { items: unknown[]; next?: string } = await client.request('GET', list + query)
    found.push(...page.items)
    last = page.next
  }
  return found
}

function toRule(text: string): { pattern: string; role: string } {
  const [pattern = '', role = ''] = text.split('=')
  return { pattern, role }
}

/** What a verb answered, for people: a line an entry, with the values of its fields. */
function render(answer: unknown, asJson: boolean): string {
  if (asJson) return `${JSON.stringify(answer, null, 2)}\n`
  const items = (answer as { items?: unknown[] }).items ?? answer
  if (Array.isArray(items)) return items.map((item) => `${line(item)}\n`).join('')
  if ((answer as { done?: boolean }).done) return 'done\n'
  return Object.entries(answer as object)
    .map(([key, value]) => `${key}: ${line(value)}\n`)
    .join('')
}

function line(item: unknown): string {
  if (typeof item !== 'object' || item === null) return String(item)
  if (Array.isArray(item)) return item.map(line).join(', ')
  const shown = Object.entries(item).filter(([, value]) => value !== false && JSON.stringify(value) !== '{}')
  return shown.map(([key, value]) => (key === 'name' ? String(value) : `${key}=${line(value)}`)).join('  ')
}
