import { formatReference, parseReferences, resolve } from '../../input/references.ts'
import {
  field,
  formatBytes,
  formatCount,
  formatShortDigest,
  formatTime,
  formatYes,
} from '../../output/format.ts'
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
      field('Size', 'bytes', formatBytes),
      field('Limit', 'bytesMax', formatBytes),
      field('Size of manifests', 'manifestBytes', formatBytes),
      field('Size of interrupted downloads', 'partialBytes', formatBytes),
      field('Blobs', 'blobCount', formatCount),
      field('Manifests', 'manifestCount', formatCount),
      field('Downloads', 'downloadCount', formatCount),
      field('Requests since the start', 'requestCount', formatCount),
      field('Hits', 'hitCount', formatCount),
      field('Served without a download', 'hitBytes', formatBytes),
      field('Downloaded', 'downloadedBytes', formatBytes),
    ]),
    list: lists(
      'List cached tags, and when each was last checked with its upstream',
      '/cache/tags',
      'Nothing is cached.',
      [
        field('repository', 'repository'),
        field('tag', 'tag'),
        field('checked', 'checkedAt', formatTime),
        field('fresh', 'fresh', formatYes),
        field('digest', 'digest', formatShortDigest),
      ],
    ),
    downloads: lists('List blobs that are being downloaded', '/cache/downloads', 'There are no downloads.', [
      field('repository', 'repository'),
      field('received', 'receivedBytes', formatBytes),
      field('size', 'bytes', formatBytes),
      field('digest', 'digest', formatShortDigest),
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
