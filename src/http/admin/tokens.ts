import { Elysia, t } from 'elysia'
import { newSecret } from '../../auth/secrets.ts'
import type { CredentialRow } from '../../metadata/credentials.ts'
import type { Rule } from '../../metadata/grants.ts'
import { parseRepositoryPattern } from '../../metadata/repository-pattern.ts'
import { registryError } from '../../oci/error.ts'
import { type AdminContext, adminRequest } from './context.ts'
import { ownerOf } from './robots.ts'
import {
  AccountName,
  Done,
  PageQuery,
  page,
  pageOf,
  REFUSALS,
  RuleModel,
  SECURITY,
  Time,
  timeOf,
} from './schemas.ts'

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

/** GET and POST /api/v1/accounts/:account/tokens, DELETE /api/v1/accounts/:account/tokens/:id */
export function tokens(context: AdminContext) {
  const detail = (summary: string, operationId: string) => ({ summary, operationId, security: SECURITY })
  const params = t.Object({ account: AccountName })
  return new Elysia({ name: 'tokens', prefix: '/accounts/:account/tokens', tags: ['accounts'] })
    .get(
      '/',
      async ({ request, params, query }) => {
        const admin = await adminRequest(context, request)
        admin.requireSelf(ownerOf(params.account))
        const row = context.metadata.accounts.find(params.account)
        if (row === undefined) throw registryError('NAME_UNKNOWN', `there is no account ${params.account}`)
        const list = (limit: number) => context.metadata.credentials.list(row.id, query.last ?? '', limit)
        const { items, ...rest } = page(list, ({ id }) => id)
        return { items: items.map(toToken), ...rest }
      },
      {
        params,
        query: PageQuery,
        response: { 200: pageOf(Token, 'Tokens'), ...REFUSALS },
        detail: detail('List tokens', 'listTokens'),
      },
    )
    .post(
      '/',
      async ({ request, params, body }) => {
        const admin = await adminRequest(context, request)
        admin.requireSelf(ownerOf(params.account))
        for (const { pattern } of body.scope ?? []) parseRepositoryPattern(pattern)
        const act = admin.act()
        const { secret, hash } = newSecret()
        const id = crypto.randomUUID()
        const expiresAt = body.expiresInDays === undefined ? null : act.at + body.expiresInDays * 86_400_000
        const scope = body.scope === undefined ? null : JSON.stringify(body.scope)
        const { name } = body
        await context.metadata.write('addCredential', {
          ...act,
          of: params.account,
          id,
          kind: 'token',
          name,
          hash,
          expiresAt,
          scope,
        })
        return { id, secret }
      },
      {
        params,
        body: t.Object({
          name: t.String({ minLength: 1, maxLength: 64, description: 'What it is for' }),
          expiresInDays: t.Optional(t.Integer({ minimum: 1, maximum: 3650 })),
          scope: t.Optional(
            t.Array(RuleModel, { maxItems: 100, description: 'Narrows what the account may' }),
          ),
        }),
        response: { 200: NewToken, ...REFUSALS },
        detail: detail('Make a token', 'addToken'),
      },
    )
    .delete(
      '/:id',
      async ({ request, params: { account, id } }) => {
        const admin = await adminRequest(context, request)
        admin.requireSelf(ownerOf(account))
        await context.metadata.write('removeCredential', { ...admin.act(), of: account, id })
        return { done: true as const }
      },
      {
        params: t.Object({ account: AccountName, id: t.String({ maxLength: 64 }) }),
        response: { 200: Done, ...REFUSALS },
        detail: detail('Revoke a token', 'removeToken'),
      },
    )
}

function toToken(row: CredentialRow) {
  const expiresAt = timeOf(row.expiresAt)
  const lastUsedAt = timeOf(row.lastUsedAt)
  return {
    id: row.id,
    name: row.name,
    createdAt: timeOf(row.createdAt) ?? '',
    ...(expiresAt === undefined ? {} : { expiresAt }),
    ...(lastUsedAt === undefined ? {} : { lastUsedAt }),
    ...(row.scope === null ? {} : { scope: JSON.parse(row.scope) as Rule[] }),
  }
}
