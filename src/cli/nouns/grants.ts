import { withQuery } from '../admin-client.ts'
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
    add: {
      usage: '<subject> <pattern> <role>',
      summary: 'Grant the role reader, writer or admin to an account, group:NAME, authenticated or anonymous',
      run: ({ client, args: [subject, pattern, role] }) =>
        change(client, 'PUT', '/grants', { subject, pattern, role }),
    },
    remove: {
      usage: '<subject> <pattern>',
      summary: 'Remove a grant',
      isDestructive: true,
      run: async ({ client, args: [subject, pattern], confirm }) => {
        await confirm(`removes what ${subject} is granted on ${pattern}`)
        return change(client, 'DELETE', withQuery('/grants', { subject, pattern }))
      },
    },
  },
}
