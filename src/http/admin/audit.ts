import { t } from 'elysia'
import type { AuditRow } from '../../metadata/audit.ts'
import { type AdminContext, controller } from './context.ts'
import { operation, PageQuery, page, pageOf, Time, timeOf } from './schemas.ts'

const Act = t.Object({
  at: Time,
  action: t.String(),
  target: t.String(),
  detail: t.Object({}, { additionalProperties: true }),
  account: t.Optional(t.String()),
  credential: t.Optional(t.String({ description: 'The id of the token, when it was one' })),
  address: t.String(),
  requestId: t.String(),
})

/** GET /api/v1/audit: who did what to accounts and grants. */
export function audit(context: AdminContext) {
  return controller(context, 'audit', '/audit').get(
    '',
    ({ asker, query }) => {
      asker.admin()
      const before = query.last === undefined ? Number.MAX_SAFE_INTEGER : Number(query.last) || 0
      return page(
        (limit) => context.metadata.audit.list(before, limit),
        ({ id }) => String(id),
        toAct,
      )
    },
    {
      query: PageQuery,
      ...operation('Read the audit trail', 'listAudit', pageOf(Act, 'Acts, newest first')),
    },
  )
}

function toAct({ at, action, target, detail, account, credential, address, requestId }: AuditRow) {
  return {
    ...{ at: timeOf(at), action, target, detail: JSON.parse(detail) as Record<string, unknown> },
    ...(account === null ? {} : { account }),
    ...(credential === null ? {} : { credential }),
    ...{ address, requestId },
  }
}
