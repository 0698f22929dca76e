import { change, listing } from '../acts.ts'
import { withQuery } from '../admin-client.ts'
import { asTime, shown } from '../output/shown.ts'
import type { Noun } from '../verb.ts'

/** `cay pin` */
export const pins: Noun = {
  summary: 'Manage pins, which protect cached content from eviction',
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
          'There are no pins.',
        ),
    },
    add: {
      usage: '<pattern> [reference]',
      summary: 'Pin a tag, a digest, or everything in the repositories that match a pattern',
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
