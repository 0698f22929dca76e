import { formatReference, parseReferences, resolve } from '../../input/references.ts'
import { field } from '../../output/format.ts'
import { withQuery } from '../../remote/admin-client.ts'
import { card, change, lists, shows } from '../../remote/requests.ts'
import type { Noun } from '../../verb.ts'

/** One reference: `app:1.0`, `app@sha256:...`, or the repository and the reference as two words. */
const ONE_REFERENCE = { usage: '<repository> [reference]', shown: 'REFERENCE' }

/** `cay cache` */
export const cache: Noun = {
  summary: 'Manage content that is cached from upstreams',
  byDefault: 'show',
  verbs: {
    show: shows(undefined, 'Show how much is cached', () => '/cache', [
      field('Size', 'bytes', 'bytes'),
      field('Limit', 'bytesMax', 'bytes'),
      field('Size of manifests', 'manifestBytes', 'bytes'),
      field('Size of interrupted downloads', 'partialBytes', 'bytes'),
      field('Blobs', 'blobCount', 'count'),
      field('Manifests', 'manifestCount', 'count'),
      field('Downloads', 'downloadCount', 'count'),
      field('Requests since the start', 'requestCount', 'count'),
      field('Hits', 'hitCount', 'count'),
      field('Served without a download', 'hitBytes', 'bytes'),
      field('Downloaded', 'downloadedBytes', 'bytes'),
    ]),
    list: lists(
      'List cached tags, and when each was last checked with its upstream',
      '/cache/tags',
      'Nothing is cached.',
      [
        field('repository', 'repository'),
        field('tag', 'tag'),
        field('checked', 'checkedAt', 'time'),
        field('fresh', 'fresh', 'yes'),
        field('digest', 'digest', 'short digest'),
      ],
    ),
    downloads: lists('List blobs that are being downloaded', '/cache/downloads', 'There are no downloads.', [
      field('repository', 'repository'),
      field('received', 'receivedBytes', 'bytes'),
      field('size', 'bytes', 'bytes'),
      field('digest', 'digest', 'short digest'),
    ]),
    refresh: {
      usage: '<repository> [tag]',
      shown: 'REPOSITORY:TAG',
      summary: 'Check a cached tag with its upstream now',
      run: async ({ client, args }) => {
        const { repository, reference: tag } = parseReferences(args)[0]
        return {
          value: await client.request('POST', '/cache/refresh', { repository, tag }),
          lines: [field('Digest', 'digest')],
        }
      },
    },
    evict: {
      ...ONE_REFERENCE,
      summary: 'Remove a manifest with its tags, or a tag, from the cache; the next pull fetches it again',
      isDestructive: true,
      run: async ({ client, args, confirm }) => {
        const named = await resolve(client, parseReferences(args)[0])
        const shown = formatReference(named)
        await confirm(`removes ${shown} from the cache`)
        return change(client, `removed ${shown} from the cache`, 'POST', '/cache/evict', named)
      },
    },
    explain: {
      ...ONE_REFERENCE,
      summary: 'Explain why a tag or manifest is cached, stale or absent',
      run: async ({ client, args }) =>
        card(client, withQuery('/cache/explain', { ...(await resolve(client, parseReferences(args)[0])) }), [
          field('State', 'state'),
          field('Why', 'explanation'),
        ]),
    },
  },
}
