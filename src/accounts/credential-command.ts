import type { Line } from '../cli/answer.ts'
import { type AdminClient, apiPath, pagesOf } from '../cli/client.ts'
import { CommandError, EXIT } from '../cli/failure.ts'
import { parseDays } from '../cli/input.ts'
import { field, formatText } from '../cli/output.ts'
import { change, lists, type Noun, type Option } from '../cli/verb.ts'
import type { AnswerOf, ItemOf } from '../http/operation.ts'
import type { AccountsRoutes } from './models.ts'

/** The options of every command that creates a token. */
export const TOKEN_OPTIONS: readonly Option[] = [
  ['--expires <days>', 'when it expires: 90d, 12w, or a number of days [never]'],
  ['--scope <rules>', 'limit it to PATTERN=ROLE,PATTERN=ROLE'],
]

/** `cay token` */
export const tokens: Noun = {
  summary: 'Manage tokens of users and robots',
  verbs: {
    list: {
      usage: '<account>',
      summary: 'List the tokens of an account, and the refresh tokens of its clients',
      isList: true,
      run: ({ args: [account = ''] }) => ({
        list: `${apiPath('accounts', account)}/tokens`,
        columns: [
          field('id', 'id'),
          field('kind', 'kind'),
          field('name', 'name'),
          field('scope', 'scope', (scope) =>
            (scope as Rule[]).map(({ pattern, role }) => `${pattern}=${role}`).join(','),
          ),
          field('created', 'createdAt', 'time'),
          field('expires', 'expiresAt', 'time'),
          field('last used', 'lastUsedAt', 'time'),
        ],
        none: `${account} has no tokens.`,
      }),
    },
    create: {
      usage: '<account> <name>',
      summary: 'Create a token; it is shown only once',
      options: TOKEN_OPTIONS,
      run: ({ client, args: [account = '', name = ''], options }) =>
        newToken(client, account, { name, ...tokenSettings(options) }, `created token ${name} of ${account}`),
    },
    delete: {
      usage: '<account> <token>',
      summary: 'Revoke a token, by its name or id',
      isDestructive: true,
      run: async ({ client, args: [account = '', token = ''], confirm }) => {
        const id = await findToken(client, account, token)
        await confirm(`permanently revokes the token ${token} of ${account}`)
        const path = apiPath('accounts', account, 'tokens', id)
        return change(client, `revoked token ${token} of ${account}`, 'DELETE', path)
      },
    },
  },
}

interface Rule {
  pattern: string
  role: string
}

/** Creates a token of an account. The line shows its secret, which cannot be read again, after `report`. */
export async function newToken(
  client: AdminClient,
  account: string,
  request: object,
  report: string,
): Promise<Line> {
  type Created = AnswerOf<AccountsRoutes, 'accounts/:account/tokens', 'post'>
  const value = await client.request<Created>('POST', `${apiPath('accounts', account)}/tokens`, request)
  return { value, line: `${report}: ${value.secret}` }
}

/** Returns the settings of a new token that the options name. */
export function tokenSettings({ expires, scope }: Readonly<Record<string, string>>) {
  return {
    ...(expires === undefined ? {} : { expiresInDays: parseDays(expires, '--expires') }),
    ...(scope === undefined ? {} : { scope: scope.split(',').map(parseRule) }),
  }
}

/** Returns the id of a token that is named by its id, or by its name if only one token of the account has that. */
export async function findToken(client: AdminClient, account: string, token: string): Promise<string> {
  const ids: string[] = []
  for await (const page of pagesOf(client, `${apiPath('accounts', account)}/tokens`)) {
    for (const { id, name } of page.items as ItemOf<AccountsRoutes, 'accounts/:account/tokens'>[]) {
      if (id === token) return id
      if (name === token) ids.push(id)
    }
  }
  const [first, ...others] = ids
  if (first === undefined) throw new CommandError(`${account} has no token ${token}`, EXIT.absent)
  if (others.length === 0) return first
  throw new CommandError(
    `${account} has several tokens ${token}: name one by its id: ${ids.join(', ')}`,
    EXIT.usage,
  )
}

function parseRule(text: string): Rule {
  const [, pattern, role] = /^([^=]+)=([^=]+)$/.exec(text) ?? []
  if (pattern !== undefined && role !== undefined) return { pattern, role }
  throw new CommandError(
    `invalid rule "${text}" in --scope: expected PATTERN=ROLE, for example alice/**=reader`,
    EXIT.usage,
  )
}

/** `cay key` */
export const signingKeys: Noun = {
  summary: 'Manage the keys that sign the short-lived tokens of /token',
  verbs: {
    list: lists('List the keys, oldest first; the last one signs', '/signing-keys', 'There are no keys.', [
      field('id', 'id'),
      field('created', 'createdAt', 'time'),
      field('expires', 'expiresAt', 'time'),
    ]),
    rotate: {
      summary:
        'Sign with a new key; the others expire with the last token that they signed, or at once with --now',
      options: [['--now', 'delete the other keys at once, which invalidates the tokens that they signed']],
      run: async ({ client, options: { now } }) => ({
        value: await client.request('POST', `/signing-keys${now === 'true' ? '?revokeOthers=true' : ''}`),
        lines: [
          field('Id', 'id'),
          field('Created', 'createdAt', 'local time'),
          field('Others expire', 'othersExpireAt', 'local time'),
        ],
      }),
    },
  },
}

const AUDIT_KINDS = ['change', 'denied', 'sign-in', 'failed-sign-in'] as const

/** Entries that are shown unless the command line sets a limit. */
const NEWEST = 100

/** `cay audit` */
export const audit: Noun = {
  summary: 'Read the audit log: who did what, when and from where',
  byDefault: 'list',
  verbs: {
    list: {
      summary: 'List changes, refusals or sign-ins, newest first',
      isList: true,
      options: [
        ['--all', 'list all entries, not only the newest'],
        ['--kind <kind>', 'list entries of this kind [change]', AUDIT_KINDS],
      ],
      run: ({ options: { all, kind = 'change' } }) => ({
        list: `/audit?${new URLSearchParams({ kind })}`,
        columns: [
          field('time', 'at', 'time'),
          field('account', 'account'),
          field('action', 'action'),
          field('target', 'target'),
          field('details', 'details', formatText),
          field('from', 'address'),
          ...(kind === 'change' ? [] : [field('times', 'count')]),
        ],
        none: 'There are no entries.',
        limit: all === 'true' ? undefined : NEWEST,
      }),
    },
  },
}
