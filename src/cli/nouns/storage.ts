import { card } from '../acts.ts'
import { withQuery } from '../admin-client.ts'
import { asBytes, asCount, shown } from '../output/shown.ts'
import type { Noun } from '../verb.ts'

/** `cay storage` */
export const storage: Noun = {
  summary: 'Show disk usage',
  byDefault: 'show',
  verbs: {
    show: {
      summary: 'Show how much is stored and how much is free',
      run: ({ client }) =>
        card(client, '/storage', [
          shown('Blobs', 'blobs.count', asCount),
          shown('Bytes of blobs', 'blobs.bytes', asBytes),
          shown('Uploads', 'uploads.count', asCount),
          shown('Bytes of uploads', 'uploads.bytes', asBytes),
          shown('Free on the disk', 'disk.freeBytes', asBytes),
          shown('Size of the disk', 'disk.totalBytes', asBytes),
        ]),
    },
    repositories: {
      summary: 'List how much each repository stores, by itself and shared with others',
      isList: true,
      options: [['--sort <field>', 'sort by name, or by bytes (largest first)', ['name', 'bytes']]],
      run: ({ options: { sort } }) => ({
        list: withQuery('/storage/repositories', { sort }),
        columns: [
          shown('repository', 'repository'),
          shown('blobs', 'blobs', asCount),
          shown('size', 'bytes', asBytes),
          shown('own', 'ownBytes', asBytes),
          shown('shared', 'sharedBytes', asBytes),
        ],
        none: 'There are no repositories.',
      }),
    },
  },
}
