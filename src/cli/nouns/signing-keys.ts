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
          [shown('id', 'id'), shown('created', 'createdAt', asTime), shown('ends', 'endsAt', asTime)],
          'There are none.',
        ),
    },
    rotate: {
      summary:
        'Sign with a new key from now on; the others end when the last of their tokens would, or at once',
      options: [['--now', 'end the other keys at once, with all tokens that they have signed']],
      run: async ({ client, options: { now } }) => ({
        value: await client.request('POST', now === 'true' ? '/signing-keys?now=true' : '/signing-keys'),
        lines: [
          shown('Id', 'id'),
          shown('Created', 'createdAt', asMoment),
          shown('Others end', 'othersEndAt', asMoment),
        ],
      }),
    },
  },
}
