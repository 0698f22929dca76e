import { field } from '../../output/format.ts'
import { withQuery } from '../../remote/admin-client.ts'
import { shows } from '../../remote/requests.ts'
import type { Noun } from '../../verb.ts'

/** `cay storage` */
export const storage: Noun = {
  summary: 'Show disk usage',
  byDefault: 'show',
  verbs: {
    show: shows(undefined, 'Show how much is stored and how much is free', () => '/storage', [
      field('Blobs', 'blobs.count', 'count'),
      field('Bytes of blobs', 'blobs.bytes', 'bytes'),
      field('Uploads', 'uploads.count', 'count'),
      field('Bytes of uploads', 'uploads.bytes', 'bytes'),
      field('Free on the disk', 'disk.freeBytes', 'bytes'),
      field('Size of the disk', 'disk.totalBytes', 'bytes'),
      field('Damaged', 'damagedCount', 'count'),
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
          field('blobs', 'blobCount', 'count'),
          field('size', 'bytes', 'bytes'),
          field('own', 'uniqueBytes', 'bytes'),
          field('shared', 'sharedBytes', 'bytes'),
          field('deleted', 'deletedAt', 'time'),
        ],
        none: 'There are no repositories.',
      }),
    },
  },
}
