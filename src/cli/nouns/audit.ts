import { asText, asTime, shown } from '../output/shown.ts'
import type { Noun } from '../verb.ts'

/** Acts that are shown unless the command line says how many. */
const NEWEST = 100

/** `cay audit` */
export const audit: Noun = {
  summary: 'The audit log: who did what, when, from where',
  byDefault: 'list',
  verbs: {
    list: {
      summary: 'Read the audit log, newest first: changes, or what was refused, or sign-ins',
      isList: true,
      options: [
        ['--all', 'the whole log, not only the newest entries'],
        ['--kind <kind>', 'change, refused, signed-in or failed [change]'],
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
        none: 'Nothing was done yet.',
        limit: all === 'true' ? undefined : NEWEST,
      }),
    },
  },
}
