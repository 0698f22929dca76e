import { card, change, listing } from '../acts.ts'
import { withQuery } from '../admin-client.ts'
import { asBytes, asCount, asTime, shown } from '../output/shown.ts'
import type { Noun } from '../verb.ts'

/** `cay cache` */
export const cache: Noun = {
  summary: 'Manage content that is cached from upstreams',
  byDefault: 'show',
  verbs: {
    show: {
      summary: 'Show how much is cached',
      run: ({ client }) =>
        card(client, '/cache', [
          shown('Size of blobs', 'bytes', asBytes),
          shown('Limit', 'bytesMax', asBytes),
          shown('Blobs', 'blobs', asCount),
          shown('Manifests', 'manifests', asCount),
          shown('Downloads', 'fills', asCount),
        ]),
    },
    list: {
      summary: 'List cached tags, and when each was last checked with its upstream',
      isList: true,
      run: () =>
        listing(
          '/cache/tags',
          [
            shown('repository', 'repository'),
            shown('tag', 'tag'),
            shown('checked', 'checkedAt', asTime),
            shown('fresh', 'isFresh'),
            shown('digest', 'digest'),
          ],
          'Nothing is cached.',
        ),
    },
    fills: {
      summary: 'List blobs that are being downloaded',
      isList: true,
      run: () =>
        listing(
          '/cache/fills',
          [
            shown('repository', 'repository'),
            shown('received', 'received', asBytes),
            shown('size', 'size', asBytes),
            shown('digest', 'digest'),
          ],
          'There are no downloads.',
        ),
    },
    refresh: {
      usage: '<repository> <tag>',
      summary: 'Check a cached tag with its upstream now',
      run: async ({ client, args: [repository, tag] }) => ({
        value: await client.request('POST', '/cache/refresh', { repository, tag }),
        lines: [shown('Digest', 'digest')],
      }),
    },
    evict: {
      usage: '<repository> <reference>',
      summary: 'Remove a manifest with its tags, or a tag, from the cache; the next pull fetches it again',
      isDestructive: true,
      run: async ({ client, args: [repository, reference], confirm }) => {
        await confirm(`removes ${reference} of ${repository} from the cache`)
        return change(client, 'POST', '/cache/evict', { repository, reference })
      },
    },
    explain: {
      usage: '<repository> <reference>',
      summary: 'Explain why a tag or manifest is cached, stale or absent',
      run: ({ client, args: [repository, reference] }) =>
        card(client, withQuery('/cache/explain', { repository, reference }), [
          shown('State', 'state'),
          shown('Why', 'explanation'),
        ]),
    },
  },
}
