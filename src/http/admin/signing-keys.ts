import { t } from 'elysia'
import { newSigningKey } from '../../auth/signed-tokens.ts'
import { type AdminContext, controller } from './context.ts'
import { operation, Time, timeOf } from './schemas.ts'

const SigningKey = t.Object(
  { id: t.String({ description: 'The `kid` of its tokens' }), createdAt: Time },
  { description: 'A key' },
)

const SigningKeys = t.Object(
  { items: t.Array(SigningKey) },
  { description: 'Oldest first: the last one signs' },
)

/** GET and POST /api/v1/signing-keys: the keys of the tokens that /token gives. */
export function signingKeys(context: AdminContext) {
  return controller(context, 'signing-keys', '/signing-keys')
    .get(
      '',
      ({ asker }) => {
        asker.admin()
        const rows = context.metadata.credentials.signingKeys()
        return { items: rows.map(({ id, createdAt }) => ({ id, createdAt: timeOf(createdAt) })) }
      },
      operation('List the keys that tokens are signed with', 'listSigningKeys', SigningKeys),
    )
    .post(
      '',
      async ({ asker }) => {
        const act = asker.admin()
        const key = await newSigningKey()
        await context.metadata.write('addSigningKey', { ...act, ...key })
        return { id: key.id, createdAt: timeOf(act.at) }
      },
      operation(
        'Sign with a new key from now on; tokens of the others end as they would',
        'rotateKey',
        SigningKey,
      ),
    )
}
