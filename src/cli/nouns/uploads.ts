import { change, listing } from '../acts.ts'
import { apiPath } from '../admin-client.ts'
import { asBytes, asTime, shown } from '../output/shown.ts'
import type { Noun } from '../verb.ts'

/** `cay upload` */
export const uploads: Noun = {
  summary: 'Manage uploads in progress',
  verbs: {
    list: {
      summary: 'List uploads that have bytes, oldest first',
      isList: true,
      run: () =>
        listing(
          '/uploads',
          [
            shown('id', 'id'),
            shown('repository', 'repository'),
            shown('size', 'bytes', asBytes),
            shown('began', 'beganAt', asTime),
            shown('changed', 'changedAt', asTime),
          ],
          'Nothing is being uploaded.',
        ),
    },
    cancel: {
      usage: '<upload>',
      summary: 'Cancel an upload',
      isDestructive: true,
      run: async ({ client, args: [id = ''], confirm }) => {
        await confirm(`drops the upload ${id} with what has come of it: its client must begin again`)
        return change(client, 'DELETE', apiPath('uploads', id))
      },
    },
  },
}
