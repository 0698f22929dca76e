import { t } from 'elysia'
import type { AuditEntry } from '../../../core/accounts/audit.ts'
import { type AdminContext, controller } from '../context.ts'
import { operation } from '../operation.ts'
import { present } from '../present.ts'
import { mapPage, PageQuery, pageOf, Time } from '../schemas.ts'

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
  const { audit } = context.accounts
  return controller(context, 'audit', '/audit').get(
    '',
    async ({ query }) => mapPage(await audit.list(query), toAct),
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

function toAct({ id: _, at, ...entry }: AuditEntry) {
  return present({ ...entry, at })
}
