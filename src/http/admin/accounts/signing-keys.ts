import { t } from 'elysia'
import type { SigningKey } from '../../../core/accounts/signing-keys.ts'
import { type AdminContext, controller } from '../context.ts'
import { operation } from '../operation.ts'
import { present } from '../present.ts'
import { mapPage, PageQuery, pageOf, Time } from '../schemas.ts'

const KEY = { id: t.String({ description: 'The `kid` of its tokens' }), createdAt: Time }

const SigningKeyModel = t.Object(
  {
    ...KEY,
    endsAt: t.Optional(t.String({ format: 'date-time', description: 'Of a key that was replaced' })),
  },
  { description: 'A key' },
)

const NewKey = t.Object(
  { ...KEY, othersEndAt: t.String({ format: 'date-time', description: 'When the other keys end' }) },
  { description: 'The key that signs from now on' },
)

/** GET and POST /api/v1/signing-keys: the keys of the tokens that /token gives. */
export function signingKeys(context: AdminContext) {
  const { signingKeys } = context.accounts
  return controller(context, 'signing-keys', '/signing-keys')
    .get('', async ({ query }) => mapPage(await signingKeys.list(query), present<SigningKey>), {
      query: PageQuery,
      ...operation({
        id: 'listSigningKeys',
        summary: 'List the keys that tokens are signed with',
        access: 'admin',
        answer: pageOf(SigningKeyModel, 'Oldest first: the last one signs'),
      }),
    })
    .post(
      '',
      async ({ asker, query: { now } }) =>
        present(await signingKeys.rotate(asker.act(), { now: now === 'true' })),
      {
        query: t.Object({
          now: t.Optional(
            t.UnionEnum(['true', 'false'], {
              default: undefined,
              description: 'true ends the other keys at once, with all tokens that they have signed',
            }),
          ),
        }),
        ...operation({
          id: 'rotateKey',
          summary:
            'Sign with a new key from now on; the others end when the last of their tokens would, or at once',
          access: 'admin',
          answer: NewKey,
        }),
      },
    )
}
