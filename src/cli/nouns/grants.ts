import { change, listing } from '../acts.ts'
import { withQuery } from '../admin-client.ts'
import { asTime, shown } from '../output/shown.ts'
import type { Noun } from '../verb.ts'

/** `cay grant` */
export const grants: Noun = {
  summary: 'Grants: a role on the repositories of a pattern',
  verbs: {
    list: {
      summary: 'List grants',
      isList: true,
      run: () =>
        listing(
          '/grants',
          [
            shown('subject', 'subject'),
            shown('pattern', 'pattern'),
            shown('role', 'role'),
            shown('created', 'createdAt', asTime),
          ],
          'Nothing is granted.',
        ),
    },
    add: {
      usage: '<subject> <pattern> <role>',
      summary: 'Grant reader, writer or admin to an account, group:NAME, authenticated or anonymous',
      run: ({ client, args: [subject, pattern, role] }) =>
        change(client, 'PUT', '/grants', { subject, pattern, role }),
    },
    remove: {
      usage: '<subject> <pattern>',
      summary: 'Take a grant back',
      isDestructive: true,
      run: async ({ client, args: [subject, pattern], confirm }) => {
        await confirm(`takes back what ${subject} is granted on ${pattern}`)
        return change(client, 'DELETE', withQuery('/grants', { subject, pattern }))
      },
    },
  },
}
