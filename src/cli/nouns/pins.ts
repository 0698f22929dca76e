import { change, listing } from '../acts.ts'
import { withQuery } from '../admin-client.ts'
import { asTime, shown } from '../output/shown.ts'
import type { Noun } from '../verb.ts'

/** `cay pin` */
export const pins: Noun = {
  summary: 'Pins: cached content that is never evicted',
  verbs: {
    list: {
      summary: 'List pins',
      isList: true,
      run: () =>
        listing(
          '/pins',
          [
            shown('pattern', 'pattern'),
            shown('reference', 'reference'),
            shown('created', 'createdAt', asTime),
          ],
          'Nothing is pinned.',
        ),
    },
    add: {
      usage: '<pattern> [reference]',
      summary: 'Keep a tag, a digest, or all of the repositories of a pattern from being evicted',
      run: ({ client, args: [pattern, reference = ''] }) =>
        change(client, 'PUT', '/pins', { pattern, reference }),
    },
    remove: {
      usage: '<pattern> [reference]',
      summary: 'Remove a pin',
      run: ({ client, args: [pattern, reference = ''] }) =>
        change(client, 'DELETE', withQuery('/pins', { pattern, reference })),
    },
  },
}
