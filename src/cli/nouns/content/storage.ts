import { field, formatBytes, formatCount, formatTime } from '../../output/format.ts'
import { withQuery } from '../../remote/admin-client.ts'
import { shows } from '../../remote/requests.ts'
import type { Noun } from '../../verb.ts'

/** `cay storage` */
export const storage: Noun = {
  summary: 'Show disk usage',
  byDefault: 'show',
  verbs: {
    show: shows(undefined, 'Show how much is stored and how much is free', () => '/storage', [
      field('Blobs', 'blobs.count', formatCount),
      field('Bytes of blobs', 'blobs.bytes', formatBytes),
      field('Uploads', 'uploads.count', formatCount),
      field('Bytes of uploads', 'uploads.bytes', formatBytes),
      field('Free on the disk', 'disk.freeBytes', formatBytes),
      field('Size of the disk', 'disk.totalBytes', formatBytes),
      field('Damaged', 'damagedCount', formatCount),
    ]),
    repositories: {
      summary: 'List how much each repository stores, by itself and shared with others',
      isList: true,
      options: [
        [
          '--sort <field>',
          'sort by bytes (largest first, with deleted ones), or by name [bytes]',
          ['name', 'bytes'],
        ],
      ],
      run: ({ options: { sort = 'bytes' } }) => ({
        list: withQuery('/storage/repositories', { sort }),
        columns: [
          field('repository', 'repository'),
          field('blobs', 'blobCount', formatCount),
          field('size', 'bytes', formatBytes),
          field('own', 'uniqueBytes', formatBytes),
          field('shared', 'sharedBytes', formatBytes),
          field('deleted', 'deletedAt', formatTime),
        ],
        none: 'There are no repositories.',
      }),
    },
  },
}
