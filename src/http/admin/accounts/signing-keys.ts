import { t } from 'elysia'
import type { SigningKey } from '../../../core/accounts/signing-keys.ts'
import { type AdminContext, controller } from '../context.ts'
import { omitAbsent } from '../omit-absent.ts'
import { operation } from '../operation.ts'
import { mapPage, PageQuery, pageOf, Time, time } from '../schemas.ts'

const KEY = { id: t.String({ description: 'The `kid` in its tokens' }), createdAt: Time }

const SigningKeyModel = t.Object(
  { ...KEY, expiresAt: t.Optional(time('When the key expires, if it was replaced')) },
  { description: 'A key' },
)

const NewKey = t.Object(
  { ...KEY, othersExpireAt: time('When the other keys expire') },
  { description: 'The new signing key' },
)

/** GET and POST /api/v1/signing-keys, GET /api/v1/signing-keys/:id: the keys that sign the tokens of /token. */
export function signingKeys(context: AdminContext) {
  const { signingKeys } = context.accounts
  return controller(context, 'signing-keys', '/signing-keys')
    .get('', async ({ query }) => mapPage(await signingKeys.list(query), toSigningKey), {
      query: PageQuery,
      ...operation('listSigningKeys', 'admin', 'List the signing keys', {
        answer: pageOf(SigningKeyModel, 'Keys, oldest first; the last one is in use'),
      }),
    })
    .post(
      '',
      async ({ principal, query: { revokeOthers = false } }) => {
        const { othersEndAt: othersExpireAt, ...key } = await signingKeys.rotate(principal.act(), {
          now: revokeOthers,
        })
        return omitAbsent({ ...key, othersExpireAt })
      },
      {
        query: t.Object({
          revokeOthers: t.Optional(
            t.Boolean({
              description: 'true revokes the other keys immediately, with all tokens that they signed',
            }),
          ),
        }),
        ...operation(
          'rotateSigningKey',
          'admin',
          'Replace the signing key; the old keys stay valid until the last of their tokens expires',
          { answer: NewKey, creates: 'always', location: ({ id }) => `/${id}` },
        ),
      },
    )
    .get('/:id', ({ params: { id } }) => toSigningKey(signingKeys.get(id)), {
      params: t.Object({ id: t.String({ maxLength: 64 }) }),
      ...operation('getSigningKey', 'admin', 'Show a signing key', {
        answer: SigningKeyModel,
        errors: ['NOT_FOUND'],
      }),
    })
}

function toSigningKey({ endsAt: expiresAt, ...key }: SigningKey) {
  return omitAbsent({ ...key, expiresAt })
}
