import { field } from '../../output/format.ts'
import { apiPath } from '../../remote/admin-client.ts'
import { change, lists } from '../../remote/requests.ts'
import type { Noun } from '../../verb.ts'

/** `cay upload` */
export const uploads: Noun = {
  summary: 'Manage uploads in progress',
  verbs: {
    list: lists(
      'List uploads that have received bytes, oldest first',
      '/uploads',
      'There are no uploads in progress.',
      [
        field('id', 'id'),
        field('repository', 'repository'),
        field('size', 'bytes', 'bytes'),
        field('started', 'startedAt', 'time'),
        field('changed', 'updatedAt', 'time'),
      ],
    ),
    cancel: {
      usage: '<upload>',
      summary: 'Cancel an upload',
      isDestructive: true,
      run: async ({ client, args: [id = ''], confirm }) => {
        await confirm(
          `cancels the upload ${id} and deletes the bytes that it received; its client must start again`,
        )
        return change(client, `canceled the upload ${id}`, 'DELETE', apiPath('uploads', id))
      },
    },
  },
}
