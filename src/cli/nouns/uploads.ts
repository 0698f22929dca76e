import { change, listing } from '../acts.ts'
import { apiPath } from '../admin-client.ts'
import { asBytes, asTime, shown } from '../output/shown.ts'
import type { Noun } from '../verb.ts'

/** `cay upload` */
export const uploads: Noun = {
  summary: 'Manage uploads in progress',
  verbs: {
    list: {
      summary: 'List uploads that have received bytes, oldest first',
      isList: true,
      run: () =>
        listing(
          '/uploads',
          [
            shown('id', 'id'),
            shown('repository', 'repository'),
            shown('size', 'bytes', asBytes),
            shown('started', 'beganAt', asTime),
            shown('changed', 'changedAt', asTime),
          ],
          'There are no uploads in progress.',
        ),
    },
    cancel: {
      usage: '<upload>',
      summary: 'Cancel an upload',
      isDestructive: true,
      run: async ({ client, args: [id = ''], confirm }) => {
        await confirm(
          `cancels the upload ${id} and deletes the bytes that it received; its client must start again`,
        )
        return change(client, 'DELETE', apiPath('uploads', id))
      },
    },
  },
}
