import { t } from 'elysia'
import type { Token } from '../../../core/accounts/tokens.ts'
import { type AdminContext, controller } from '../context.ts'
import { omitAbsent } from '../omit-absent.ts'
import { operation } from '../operation.ts'
import { AccountName, mapPage, oneOf, PageQuery, pageOf, RuleModel, Time, timeOf } from '../schemas.ts'

const members = {
  id: t.String(),
  kind: oneOf(
    ['token', 'refresh'],
    'refresh: a client got it from POST /token for the password; its name is the client id',
  ),
  name: t.String(),
  createdAt: Time,
  expiresAt: t.Optional(Time),
  lastUsedAt: t.Optional(Time),
  scope: t.Optional(t.Array(RuleModel)),
}

const TokenModel = t.Object(members, { description: 'A token' })

const NewToken = t.Object(
  { ...members, secret: t.String({ description: 'Shown only once' }) },
  { description: 'The token' },
)

const TokenRequest = t.Object({
  name: t.String({ minLength: 1, maxLength: 64, description: 'What it is for', example: 'laptop' }),
  expiresInDays: t.Optional(t.Integer({ minimum: 1, maximum: 3650 })),
  scope: t.Optional(
    t.Array(RuleModel, { maxItems: 100, description: 'Limits the token to some of what the account may do' }),
  ),
})

const OPERATIONS = {
  list: operation('listTokens', 'self', 'List tokens', {
    errors: ['NOT_FOUND'],
    answer: pageOf(TokenModel, 'Tokens'),
  }),
  add: operation('createToken', 'self', 'Create a token', {
    answer: NewToken,
    creates: 'always',
    location: ({ id }) => `/${id}`,
    errors: ['NOT_FOUND', 'CONFLICT', 'NAME_INVALID'],
  }),
  get: operation('getToken', 'self', 'Show a token', { answer: TokenModel, errors: ['NOT_FOUND'] }),
  remove: operation('deleteToken', 'self', 'Revoke a token', { errors: ['NOT_FOUND'] }),
}

/** GET and POST /api/v1/accounts/:account/tokens; GET and DELETE /api/v1/accounts/:account/tokens/:id */
export function tokens(context: AdminContext) {
  const { tokens } = context.accounts
  const params = t.Object({ account: AccountName })
  const ofToken = t.Object({ account: AccountName, id: t.String({ maxLength: 64 }) })
  return controller(context, 'tokens', '/accounts/:account/tokens')
    .get('', async ({ params: { account }, query }) => mapPage(await tokens.list(account, query), toToken), {
      params,
      query: PageQuery,
      ...OPERATIONS.list,
    })
    .post(
      '',
      async ({ principal, params: { account }, body }) => {
        const { secret, ...token } = await tokens.add(principal.act(), account, body)
        return { ...toToken(token), secret }
      },
      { params, body: TokenRequest, ...OPERATIONS.add },
    )
    .get('/:id', ({ params: { account, id } }) => toToken(tokens.get(account, id)), {
      params: ofToken,
      ...OPERATIONS.get,
    })
    .delete('/:id', ({ principal, params: { account, id } }) => tokens.delete(principal.act(), account, id), {
      params: ofToken,
      ...OPERATIONS.remove,
    })
}

function toToken({ id, kind, name, createdAt, expiresAt, lastUsedAt, scope }: Token) {
  return omitAbsent({
    id,
    kind,
    name,
    createdAt: timeOf(createdAt),
    expiresAt: expiresAt === null ? null : timeOf(expiresAt),
    lastUsedAt: lastUsedAt === null ? null : timeOf(lastUsedAt),
    scope,
  })
}
