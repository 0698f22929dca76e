import { matchesPattern, parseRepositoryPattern } from '../../../domain/repository-pattern.ts'
import type { Answer, Item } from '../../../http/admin/answers.ts'
import { parseRepositoryName } from '../../../oci/reference.ts'
import type { Card } from '../../output/answer.ts'
import { field } from '../../output/format.ts'
import { type AdminClient, withQuery } from '../../remote/admin-client.ts'
import { allOf } from '../../remote/requests.ts'
import type { Noun } from '../../verb.ts'
import { findToken } from './tokens.ts'

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
        const value = await client.request<Answer<'access'>>('GET', path)
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
  const grants = await allOf<Item<'grants'>>(client, '/grants')
  const users = await allOf<Item<'users'>>(client, '/users')
  const name = parseRepositoryName(repository)
  const granted = grants.filter(({ pattern }) => matchesPattern(parseRepositoryPattern(pattern), name))
  const limits = new Map<string, string>()
  for (const subject of new Set(granted.map((grant) => grant.subject).filter(isRobot)))
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

function isRobot(subject: string): boolean {
  return subject.includes('+')
}

/** Returns in words that a robot can do less than it is granted, because its owner can; empty if it can do that. */
async function limitOf(client: AdminClient, account: string, repository: string): Promise<string> {
  const path = withQuery('/access', { account, repository })
  const { actions, reasons, limits } = await client.request<Answer<'access'>>('GET', path)
  if (reasons.every((reason) => reason.actions.every((action) => actions.includes(action)))) return ''
  const owner = limits.find(({ source }) => source === 'owner')
  return `, but ${owner ? `its owner ${owner.name}` : 'the robot'} can ${actions.length === 0 ? 'do nothing' : `only ${actions.join(', ')}`} there`
}
