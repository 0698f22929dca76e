import { t } from 'elysia'
import type { ActDetail, AuditRow } from '../../../metadata/accounts/audit.ts'
import { type AdminContext, controller } from '../context.ts'
import { operation } from '../operation.ts'
import { PageQuery, page, pageOf, Time, timeOf } from '../schemas.ts'

const Act = t.Object({
  at: Time,
  action: t.String(),
  target: t.String(),
  detail: t.Record(t.String(), t.Union([t.String(), t.Number(), t.Boolean(), t.Array(t.String())])),
  account: t.Optional(t.String()),
  credential: t.Optional(t.String({ description: 'The id of the token, when it was one' })),
  address: t.String(),
  requestId: t.String(),
})

/** GET /api/v1/audit: who did what to accounts and grants. */
export function audit(context: AdminContext) {
  return controller(context, 'audit', '/audit').get(
    '',
    ({ query }) => {
      const before = query.last === undefined ? Number.MAX_SAFE_INTEGER : Number(query.last) || 0
      return page(
        query,
        (limit) => context.metadata.audit.list(before, limit),
        ({ id }) => String(id),
        toAct,
      )
    },
    {
      query: PageQuery,
      ...operation({
        id: 'listAudit',
        summary: 'Read the audit trail',
        access: 'admin',
        answer: pageOf(Act, 'Acts, newest first'),
      }),
    },
  )
}

function toAct({ at, action, target, detail, account, credential, address, requestId }: AuditRow) {
  return {
    at: timeOf(at),
    action,
    target,
    detail: toDetail(detail),
    ...(account === null ? {} : { account }),
    ...(credential === null ? {} : { credential }),
    address,
    requestId,
  }
}

function toDetail(text: string) {
  const parts = Object.entries(JSON.parse(text) as ActDetail)
  return Object.fromEntries(parts.flatMap(([name, value]) => (value == null ? [] : [[name, value]])))
}
