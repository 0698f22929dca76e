import { t } from 'elysia'
import type { AuditEntry } from '../../../core/accounts/audit.ts'
import { type AdminContext, controller } from '../context.ts'
import { operation } from '../operation.ts'
import { present } from '../present.ts'
import { integer, mapPage, pageOf, pageParameters, Time } from '../schemas.ts'

const Act = t.Object({
  at: Time,
  firstAt: t.Optional(Time),
  count: t.Optional(integer({ minimum: 1, description: 'How often, since `firstAt`' })),
  action: t.String(),
  target: t.String(),
  detail: t.Record(t.String(), t.Union([t.String(), t.Number(), t.Boolean(), t.Array(t.String())])),
  account: t.Optional(t.String()),
  credential: t.Optional(t.String({ description: 'The id of the token, when it was one' })),
  address: t.String(),
  requestId: t.String(),
})

const AuditQuery = t.Object({
  ...pageParameters,
  kind: t.Optional(
    t.UnionEnum(['change', 'refused', 'signed-in', 'failed'], {
      default: undefined,
      description: 'changes (the default), what was refused, sign-ins, or failed sign-ins',
    }),
  ),
})

/** GET /api/v1/audit: who did what to accounts and grants, who was refused, and who signed in. */
export function audit(context: AdminContext) {
  const { audit } = context.accounts
  return controller(context, 'audit', '/audit').get(
    '',
    async ({ query }) => mapPage(await audit.list(query, query.kind), toAct),
    {
      query: AuditQuery,
      ...operation({
        id: 'listAudit',
        summary: 'Read the audit log',
        description:
          'Refusals and sign-ins are kept apart from changes, so that they cannot push those out. The same of an account, ' +
          'from one address, is one entry an hour, with the target that was tried last.',
        access: 'admin',
        answer: pageOf(Act, 'Acts, newest first'),
      }),
    },
  )
}

function toAct({ id: _, ...entry }: AuditEntry) {
  return present(entry)
}
