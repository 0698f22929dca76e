import type { Answer } from '../../../http/admin/answers.ts'
import { CommandError, EXIT } from '../../failure.ts'
import { field } from '../../output/format.ts'
import { type AdminClient, withQuery } from '../../remote/admin-client.ts'
import { change, lists } from '../../remote/requests.ts'
import type { Noun } from '../../verb.ts'

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
        const line = await change(client, `${subject} has the role ${role} on ${pattern}`, 'PUT', '/grants', {
          subject,
          pattern,
          role,
        })
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
        return change(
          client,
          `deleted the grant of ${subject} on ${pattern}`,
          'DELETE',
          withQuery('/grants', { subject, pattern }),
        )
      },
    },
  },
}

const ROLES = ['reader', 'writer', 'admin']

/** What each role allows. */
const ACTIONS: Readonly<Record<string, Answer<'access'>['actions']>> = {
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
  const { actions } = await client.request<Answer<'access'>>('GET', path)
  return (ACTIONS[role] ?? []).filter((action) => !actions.includes(action))
}
