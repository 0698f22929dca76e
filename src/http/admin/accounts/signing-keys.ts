import { t } from 'elysia'
import type { SigningKey } from '../../../core/accounts/signing-keys.ts'
import { type AdminContext, controller } from '../context.ts'
import { operation } from '../operation.ts'
import { mapPage, PageQuery, pageOf, Time, timeOf } from '../schemas.ts'

const SigningKeyModel = t.Object(
  { id: t.String({ description: 'The `kid` of its tokens' }), createdAt: Time },
  { description: 'A key' },
)

/** GET and POST /api/v1/signing-keys: the keys of the tokens that /token gives. */
export function signingKeys(context: AdminContext) {
  const { signingKeys } = context.accounts
  return controller(context, 'signing-keys', '/signing-keys')
    .get('', async ({ query }) => mapPage(await signingKeys.list(query), toKey), {
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
      async ({ asker }) => toKey(await signingKeys.rotate(asker.act())),
      operation({
        id: 'rotateKey',
        summary: 'Sign with a new key from now on; tokens of the others end as they would',
        access: 'admin',
        answer: SigningKeyModel,
      }),
    )
}

function toKey({ id, createdAt }: SigningKey) {
  return { id, createdAt: timeOf(createdAt) }
}
