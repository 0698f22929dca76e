import { field } from '../../output/format.ts'
import { lists } from '../../remote/requests.ts'
import type { Noun } from '../../verb.ts'

/** `cay key` */
export const signingKeys: Noun = {
  summary: 'Manage the keys that sign the short-lived tokens of /token',
  verbs: {
    list: lists('List the keys, oldest first; the last one signs', '/signing-keys', 'There are no keys.', [
      field('id', 'id'),
      field('created', 'createdAt', 'time'),
      field('expires', 'expiresAt', 'time'),
    ]),
    rotate: {
      summary:
        'Sign with a new key; the others expire with the last token that they signed, or at once with --now',
      options: [['--now', 'delete the other keys at once, which invalidates the tokens that they signed']],
      run: async ({ client, options: { now } }) => ({
        value: await client.request(
          'POST',
          now === 'true' ? '/signing-keys?revokeOthers=true' : '/signing-keys',
        ),
        lines: [
          field('Id', 'id'),
          field('Created', 'createdAt', 'local time'),
          field('Others expire', 'othersExpireAt', 'local time'),
        ],
      }),
    },
  },
}
