import { withQuery } from '../admin-client.ts'
import { field, formatTime } from '../output/format.ts'
import { change, listing } from '../requests.ts'
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
            field('pattern', 'pattern'),
            field('reference', 'reference'),
            field('created', 'createdAt', formatTime),
          ],
          'There are no pins.',
        ),
    },
    add: {
      usage: '<pattern> [reference]',
      summary: 'Pin a tag, a digest, or everything in the repositories that match a pattern',
      run: ({ client, args: [pattern, reference] }) => change(client, 'PUT', '/pins', { pattern, reference }),
    },
    remove: {
      usage: '<pattern> [reference]',
      summary: 'Remove a pin',
      run: ({ client, args: [pattern = '', reference] }) =>
        change(client, 'DELETE', withQuery('/pins', { pattern, reference })),
    },
  },
}
