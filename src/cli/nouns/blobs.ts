import { apiPath, type Page } from '../admin-client.ts'
import { asBytes, asMoment, asTime, shown } from '../output/shown.ts'
import type { Noun } from '../verb.ts'

/** `cay blob` */
export const blobs: Noun = {
  summary: 'Inspect blobs: layers, configs and other content',
  verbs: {
    show: {
      usage: '<digest>',
      summary: 'Show a blob and the repositories that use it',
      run: async ({ client, args: [digest = ''] }) => {
        const value = await client.request<Page>('GET', apiPath('blobs', digest))
        const more = value.next === undefined ? '' : ' (first page)'
        return {
          value,
          lines: [
            shown('Digest', 'digest'),
            shown('Size', 'bytes', asBytes),
            shown('Stored', 'storedAt', asMoment),
          ],
          tables: [
            {
              title: `Used in${more}`,
              items: value.items,
              columns: [
                shown('repository', 'repository'),
                shown('since', 'linkedAt', asTime),
                shown('unreferenced since', 'unreferencedAt', asTime),
              ],
            },
          ],
        }
      },
    },
  },
}
