import { field, formatText } from '../../output/format.ts'
import type { Noun } from '../../verb.ts'

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
