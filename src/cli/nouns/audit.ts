import { asText, asTime, shown } from '../output/shown.ts'
import type { Noun } from '../verb.ts'

/** Acts that are shown unless the command line says how many. */
const NEWEST = 100

/** `cay audit` */
export const audit: Noun = {
  summary: 'The audit trail: who did what, when, from where',
  byDefault: 'list',
  verbs: {
    list: {
      summary: 'Read the audit trail, newest first',
      isList: true,
      options: [['--all', 'the whole trail, not only the newest acts']],
      run: ({ options: { all } }) => ({
        list: '/audit',
        columns: [
          shown('time', 'at', asTime),
          shown('account', 'account'),
          shown('action', 'action'),
          shown('target', 'target'),
          shown('detail', 'detail', asText),
          shown('from', 'address'),
        ],
        none: 'Nothing was done yet.',
        limit: all === 'true' ? undefined : NEWEST,
      }),
    },
  },
}
