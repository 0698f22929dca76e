import { withQuery } from '../admin-client.ts'
import { field, formatBytes, formatCount, formatTime } from '../output/format.ts'
import { card, change, listing } from '../requests.ts'
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
          field('Size of blobs', 'bytes', formatBytes),
          field('Limit', 'maxBytes', formatBytes),
          field('Blobs', 'blobCount', formatCount),
          field('Manifests', 'manifestCount', formatCount),
          field('Downloads', 'downloadCount', formatCount),
        ]),
    },
    list: {
      summary: 'List cached tags, and when each was last checked with its upstream',
      isList: true,
      run: () =>
        listing(
          '/cache/tags',
          [
            field('repository', 'repository'),
            field('tag', 'tag'),
            field('checked', 'checkedAt', formatTime),
            field('fresh', 'fresh'),
            field('digest', 'digest'),
          ],
          'Nothing is cached.',
        ),
    },
    downloads: {
      summary: 'List blobs that are being downloaded',
      isList: true,
      run: () =>
        listing(
          '/cache/downloads',
          [
            field('repository', 'repository'),
            field('received', 'receivedBytes', formatBytes),
            field('size', 'bytes', formatBytes),
            field('digest', 'digest'),
          ],
          'There are no downloads.',
        ),
    },
    refresh: {
      usage: '<repository> <tag>',
      summary: 'Check a cached tag with its upstream now',
      run: async ({ client, args: [repository, tag] }) => ({
        value: await client.request('POST', '/cache/refresh', { repository, tag }),
        lines: [field('Digest', 'digest')],
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
          field('State', 'state'),
          field('Why', 'explanation'),
        ]),
    },
  },
}
