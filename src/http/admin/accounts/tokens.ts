import { t } from 'elysia'
import { newSecret } from '../../../auth/secrets.ts'
import { parseRepositoryPattern } from '../../../domain/repository-pattern.ts'
import type { Rule } from '../../../domain/rule.ts'
import type { CredentialRow } from '../../../metadata/accounts/credentials.ts'
import { registryError } from '../../../oci/error.ts'
import { type AdminContext, controller } from '../context.ts'
import { operation } from '../operation.ts'
import { AccountName, DONE, Done, PageQuery, page, pageOf, RuleModel, Time, timeOf } from '../schemas.ts'

const Token = t.Object({
  id: t.String(),
  name: t.String(),
  createdAt: Time,
  expiresAt: t.Optional(Time),
  lastUsedAt: t.Optional(Time),
  scope: t.Optional(t.Array(RuleModel)),
})

const NewToken = t.Object(
  { id: t.String(), secret: t.String({ description: 'Shown now, and never again' }) },
  { description: 'The token' },
)

const TokenRequest = t.Object({
  name: t.String({ minLength: 1, maxLength: 64, description: 'What it is for' }),
  expiresInDays: t.Optional(t.Integer({ minimum: 1, maximum: 3650 })),
  scope: t.Optional(t.Array(RuleModel, { maxItems: 100, description: 'Narrows what the account may' })),
})

const DAY_MILLISECONDS = 86_400_000

const OPERATIONS = {
  list: operation({
    id: 'listTokens',
    summary: 'List tokens',
    access: 'self',
    errors: ['NOT_FOUND'],
    answer: pageOf(Token, 'Tokens'),
  }),
  add: operation({
    id: 'addToken',
    summary: 'Make a token',
    access: 'self',
    answer: NewToken,
    errors: ['NOT_FOUND', 'CONFLICT', 'NAME_INVALID'],
  }),
  remove: operation({
    id: 'removeToken',
    summary: 'Revoke a token',
    access: 'self',
    answer: Done,
    errors: ['NOT_FOUND'],
  }),
}

/** GET and POST /api/v1/accounts/:account/tokens; DELETE /api/v1/accounts/:account/tokens/:id */
export function tokens(context: AdminContext) {
  const { metadata } = context
  const params = t.Object({ account: AccountName })
  return controller(context, 'tokens', '/accounts/:account/tokens')
    .get(
      '',
      ({ params: { account }, query }) => {
        const row = metadata.accounts.find(account)
        if (row === undefined) throw registryError('NOT_FOUND', `there is no account ${account}`)
        return page(
          query,
          (limit) => metadata.credentials.list(row.id, query.last ?? '', limit),
          ({ id }) => id,
          toToken,
        )
      },
      {
        params,
        query: PageQuery,
        ...OPERATIONS.list,
      },
    )
    .post(
      '',
      async ({ asker, params: { account: of }, body: { name, expiresInDays, scope } }) => {
        const act = asker.act()
        for (const { pattern } of scope ?? []) parseRepositoryPattern(pattern)
        const { secret, hash } = newSecret()
        const id = crypto.randomUUID()
        await metadata.write('addCredential', {
          ...act,
          of,
          id,
          kind: 'token',
          name,
          hash,
          expiresAt: expiresInDays === undefined ? null : act.at + expiresInDays * DAY_MILLISECONDS,
          scope: scope === undefined ? null : JSON.stringify(scope),
        })
        return { id, secret }
      },
      {
        params,
        body: TokenRequest,
        ...OPERATIONS.add,
      },
    )
    .delete(
      '/:id',
      async ({ asker, params: { account: of, id } }) => {
        await metadata.write('removeCredential', { ...asker.act(), of, id, kind: 'token' })
        return DONE
      },
      {
        params: t.Object({ account: AccountName, id: t.String({ maxLength: 64 }) }),
        ...OPERATIONS.remove,
      },
    )
}

function toToken({ id, name, createdAt, expiresAt, lastUsedAt, scope }: CredentialRow) {
  return {
    id,
    name,
    createdAt: timeOf(createdAt),
    ...(expiresAt === null ? {} : { expiresAt: timeOf(expiresAt) }),
    ...(lastUsedAt === null ? {} : { lastUsedAt: timeOf(lastUsedAt) }),
    ...(scope === null ? {} : { scope: JSON.parse(scope) as Rule[] }),
  }
}
