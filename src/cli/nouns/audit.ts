import { asText, asTime, shown } from '../output/shown.ts'
import type { Noun } from '../verb.ts'

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
        ['--kind <kind>', 'change, refused, signed-in or failed (failed sign-ins) [change]'],
      ],
      run: ({ options: { all, kind = 'change' } }) => ({
        list: `/audit?${new URLSearchParams({ kind })}`,
        columns: [
          shown('time', 'at', asTime),
          shown('account', 'account'),
          shown('action', 'action'),
          shown('target', 'target'),
          shown('detail', 'detail', asText),
          shown('from', 'address'),
          ...(kind === 'change' ? [] : [shown('times', 'count')]),
        ],
        none: 'There are no entries.',
        limit: all === 'true' ? undefined : NEWEST,
      }),
    },
  },
}
