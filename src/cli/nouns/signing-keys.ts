import { listing } from '../acts.ts'
import { asMoment, asTime, shown } from '../output/shown.ts'
import type { Noun } from '../verb.ts'

/** `cay key` */
export const signingKeys: Noun = {
  summary: 'Keys that sign the short-lived tokens of /token',
  verbs: {
    list: {
      summary: 'List the keys, oldest first: the last one signs',
      isList: true,
      run: () =>
        listing(
          '/signing-keys',
          [shown('id', 'id'), shown('created', 'createdAt', asTime)],
          'There are none.',
        ),
    },
    rotate: {
      summary: 'Sign with a new key from now on; tokens of the others end as they would',
      run: async ({ client }) => ({
        value: await client.request('POST', '/signing-keys'),
        lines: [shown('Id', 'id'), shown('Created', 'createdAt', asMoment)],
      }),
    },
  },
}
