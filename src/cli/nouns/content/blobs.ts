import { wholeDigest } from '../../input/references.ts'
import { field } from '../../output/format.ts'
import { apiPath, type Page } from '../../remote/admin-client.ts'
import type { Noun } from '../../verb.ts'

/** `cay blob` */
export const blobs: Noun = {
  summary: 'Inspect blobs: layers, configs and other content',
  verbs: {
    show: {
      usage: '<digest>',
      summary: 'Show a blob and the repositories that use it',
      run: async ({ client, args: [digest = ''] }) => {
        const value = await client.request<Page>('GET', apiPath('blobs', await wholeDigest(client, digest)))
        const more = value.nextCursor === undefined ? '' : ' (first page)'
        return {
          value,
          lines: [
            field('Digest', 'digest'),
            field('Size', 'bytes', 'bytes'),
            field('Stored', 'storedAt', 'local time'),
          ],
          tables: [
            {
              title: `Used in${more}`,
              items: value.items,
              columns: [
                field('repository', 'repository'),
                field('since', 'linkedAt', 'time'),
                field('unreferenced since', 'unreferencedAt', 'time'),
              ],
            },
          ],
        }
      },
    },
  },
}
