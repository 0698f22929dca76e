import { formatReference } from '../../input/references.ts'
import { field } from '../../output/format.ts'
import { withQuery } from '../../remote/admin-client.ts'
import { change, lists } from '../../remote/requests.ts'
import type { Noun } from '../../verb.ts'

/** `cay pin` */
export const pins: Noun = {
  summary: 'Manage pins, which protect cached content from eviction',
  verbs: {
    list: lists('List pins', '/pins', 'There are no pins.', [
      field('pattern', 'pattern'),
      field('reference', 'reference'),
      field('created', 'createdAt', 'time'),
    ]),
    create: {
      usage: '<pattern> [reference]',
      summary: 'Pin a tag, a digest, or everything in the repositories that match a pattern',
      run: ({ client, args: [pattern = '', reference] }) =>
        change(client, `pinned ${what(pattern, reference)}`, 'PUT', '/pins', { pattern, reference }),
    },
    delete: {
      usage: '<pattern> [reference]',
      summary: 'Delete a pin',
      run: ({ client, args: [pattern = '', reference] }) =>
        change(
          client,
          `deleted the pin of ${what(pattern, reference)}`,
          'DELETE',
          withQuery('/pins', { pattern, reference }),
        ),
    },
  },
}

function what(pattern: string, reference: string | undefined): string {
  return reference === undefined
    ? `everything in ${pattern}`
    : formatReference({ repository: pattern, reference })
}
