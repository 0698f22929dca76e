import { type AdminClient, apiPath } from '../admin-client.ts'
import { CommandError, EXIT } from '../failure.ts'
import type { Card } from '../output/answer.ts'
import { field, formatTime } from '../output/format.ts'
import { change, listing } from '../requests.ts'
import type { Noun } from '../verb.ts'

/** `cay token` */
export const tokens: Noun = {
  summary: 'Manage tokens of users and robots',
  verbs: {
    list: {
      usage: '<account>',
      summary: 'List the tokens of an account',
      isList: true,
      run: ({ args: [account = ''] }) =>
        listing(
          `${apiPath('accounts', account)}/tokens`,
          [
            field('id', 'id'),
            field('name', 'name'),
            field('scope', 'scope', (scope) => (scope as Rule[]).map(formatRule).join(',')),
            field('created', 'createdAt', formatTime),
            field('expires', 'expiresAt', formatTime),
            field('last used', 'lastUsedAt', formatTime),
          ],
          `${account} has no tokens.`,
        ),
    },
    add: {
      usage: '<account> <name>',
      summary: 'Create a token; it is shown only once',
      options: [
        ['--days <number>', 'days until it expires'],
        ['--scope <rules>', 'limit it to PATTERN=ROLE,PATTERN=ROLE'],
      ],
      run: ({ client, args: [account = '', name = ''], options: { days, scope } }) =>
        newToken(client, account, {
          name,
          ...(days === undefined ? {} : { expiresInDays: parseDays(days) }),
          ...(scope === undefined ? {} : { scope: scope.split(',').map(parseRule) }),
        }),
    },
    remove: {
      usage: '<account> <token>',
      summary: 'Revoke a token',
      isDestructive: true,
      run: async ({ client, args: [account = '', id = ''], confirm }) => {
        await confirm(`permanently revokes the token ${id} of ${account}`)
        return change(client, 'DELETE', apiPath('accounts', account, 'tokens', id))
      },
    },
  },
}

interface Rule {
  pattern: string
  role: string
}

/** Creates a token of an account. The card shows its secret, which cannot be read again. */
export async function newToken(client: AdminClient, account: string, request: object): Promise<Card> {
  const value = await client.request('POST', `${apiPath('accounts', account)}/tokens`, request)
  return { value, lines: [field('Token', 'secret'), field('Id', 'id')] }
}

function parseDays(text: string): number {
  if (/^\d{1,9}$/.test(text)) return Number(text)
  throw new CommandError(`--days is "${text}": expected a whole number`, EXIT.usage)
}

function parseRule(text: string): Rule {
  const [, pattern, role] = /^([^=]+)=([^=]+)$/.exec(text) ?? []
  if (pattern !== undefined && role !== undefined) return { pattern, role }
  throw new CommandError(
    `invalid rule "${text}" in --scope: expected PATTERN=ROLE, for example alice/**=reader`,
    EXIT.usage,
  )
}

function formatRule({ pattern, role }: Rule): string {
  return `${pattern}=${role}`
}
