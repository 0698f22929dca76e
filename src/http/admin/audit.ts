import { Elysia, t } from 'elysia'
import { type AdminContext, adminRequest } from './context.ts'
import { PageQuery, page, pageOf, REFUSALS, SECURITY, Time, timeOf } from './schemas.ts'

const Act = t.Object({
  at: Time,
  action: t.String(),
  target: t.String(),
  detail: t.Object({}, { additionalProperties: true }),
  account: t.Optional(t.String()),
  credential: t.Optional(t.String()),
  address: t.String(),
  requestId: t.String(),
})

/** GET /api/v1/audit: who did what to accounts and grants, newest first. */
export function audit(context: AdminContext) {
  return new Elysia({ name: 'audit', prefix: '/audit', tags: ['accounts'] }).get(
    '/',
    async ({ request, query }) => {
      ;(await adminRequest(context, request)).requireAdmin()
      const before = Number(query.last ?? Number.MAX_SAFE_INTEGER) || 0
      const list = (limit: number) => context.metadata.audit.list(before, limit)
      const { items, ...rest } = page(list, ({ id }) => String(id))
      return {
        items: items.map((row) => ({
          at: timeOf(row.at) ?? '',
          action: row.action,
          target: row.target,
          detail: JSON.parse(row.detail) as Record<string, unknown>,
          ...(row.account === null ? {} : { account: row.account }),
          ...(row.credential === null ? {} : { credential: row.credential }),
          address: row.address,
          requestId: row.requestId,
        })),
        ...rest,
      }
    },
    {
      query: PageQuery,
      response: { 200: pageOf(Act, 'Acts, newest first'), ...REFUSALS },
      detail: { summary: 'Read the audit trail', operationId: 'listAudit', security: SECURITY },
    },
  )
}
