import { withQuery } from '../admin-client.ts'
import { field } from '../output/format.ts'
import type { Noun } from '../verb.ts'
import { findToken } from './tokens.ts'

/** `cay access` */
export const access: Noun = {
  summary: 'Explain what an account can do in a repository',
  byDefault: 'show',
  verbs: {
    show: {
      usage: '<account> <repository>',
      summary: 'Show what an account (or anonymous) can do in a repository, and which grants allow it',
      options: [
        [
          '--with <token>',
          'check one of the tokens of the account, by name or id; a token can have a narrower scope',
        ],
      ],
      run: async ({ client, args: [account = '', repository], options }) => {
        const query = { account: account === 'anonymous' ? undefined : account, repository }
        const credentialId = options.with && (await findToken(client, account, options.with))
        const path = withQuery('/access', { ...query, credentialId })
        const value = await client.request<Explained>('GET', path)
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

/** What an account can do, and why. */
interface Explained {
  actions: string[]
  disabled: boolean
  reasons: unknown[]
  limits: unknown[]
}
