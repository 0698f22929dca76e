import { withQuery } from '../admin-client.ts'
import { CommandError, EXIT } from '../failure.ts'
import { field, formatTime } from '../output/format.ts'
import { change, listing } from '../requests.ts'
import type { Noun } from '../verb.ts'

/** `cay grant` */
export const grants: Noun = {
  summary: 'Manage grants: roles in the repositories that match a pattern',
  verbs: {
    list: {
      summary: 'List grants',
      isList: true,
      run: () =>
        listing(
          '/grants',
          [
            field('subject', 'subject'),
            field('pattern', 'pattern'),
            field('role', 'role'),
            field('created', 'createdAt', formatTime),
          ],
          'There are no grants.',
        ),
    },
    create: {
      usage: '<subject> <pattern> <role>',
      summary: 'Grant the role reader, writer or admin to an account, group:NAME, authenticated or anonymous',
      run: async ({ client, args: [subject = '', pattern = '', role = ''] }) => {
        if (!ROLES.includes(role))
          throw new CommandError(`unknown role "${role}": expected ${ROLES.join(', ')}`, EXIT.usage)
        return change(client, `${subject} has the role ${role} on ${pattern}`, [
          'PUT',
          '/grants',
          { subject, pattern, role },
        ])
      },
    },
    delete: {
      usage: '<subject> <pattern>',
      summary: 'Delete a grant',
      isDestructive: true,
      run: async ({ client, args: [subject = '', pattern = ''], confirm }) => {
        await confirm(`deletes the grant of ${subject} on ${pattern}`)
        return change(client, `deleted the grant of ${subject} on ${pattern}`, [
          'DELETE',
          withQuery('/grants', { subject, pattern }),
        ])
      },
    },
  },
}

const ROLES = ['reader', 'writer', 'admin']
