import { t } from 'elysia'
import { newSigningKey } from '../../../auth/signed-tokens.ts'
import { type AdminContext, controller } from '../context.ts'
import { operation } from '../operation.ts'
import { PageQuery, page, pageOf, Time, timeOf } from '../schemas.ts'

const SigningKey = t.Object(
  { id: t.String({ description: 'The `kid` of its tokens' }), createdAt: Time },
  { description: 'A key' },
)

/** GET and POST /api/v1/signing-keys: the keys of the tokens that /token gives. */
export function signingKeys(context: AdminContext) {
  return controller(context, 'signing-keys', '/signing-keys')
    .get(
      '',
      ({ query }) => {
        // There are few: those that nothing is verified with any more go.
        const rows = context.metadata.credentials.signingKeys()
        const from = rows.findIndex(({ id }) => id === query.last) + 1
        return page(
          query,
          (limit) => rows.slice(from, from + limit),
          ({ id }) => id,
          ({ id, createdAt }) => ({ id, createdAt: timeOf(createdAt) }),
        )
      },
      {
        query: PageQuery,
        ...operation({
          id: 'listSigningKeys',
          summary: 'List the keys that tokens are signed with',
          access: 'admin',
          answer: pageOf(SigningKey, 'Oldest first: the last one signs'),
        }),
      },
    )
    .post(
      '',
      async ({ asker }) => {
        const act = asker.act()
        const key = await newSigningKey()
        await context.metadata.write('addSigningKey', { ...act, ...key })
        return { id: key.id, createdAt: timeOf(act.at) }
      },
      operation({
        id: 'rotateKey',
        summary: 'Sign with a new key from now on; tokens of the others end as they would',
        access: 'admin',
        answer: SigningKey,
      }),
    )
}
