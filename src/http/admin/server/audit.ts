import { t } from 'elysia'
import type { AuditEntry } from '../../../core/accounts/audit.ts'
import { type AdminContext, controller } from '../context.ts'
import { operation } from '../operation.ts'
import { present } from '../present.ts'
import { integer, mapPage, pageOf, pageParameters, Time } from '../schemas.ts'

const Act = t.Object({
  at: Time,
  firstAt: t.Optional(Time),
  count: t.Optional(integer({ minimum: 1, description: 'How many times since `firstAt`' })),
  action: t.String(),
  target: t.String(),
  detail: t.Record(t.String(), t.Union([t.String(), t.Number(), t.Boolean(), t.Array(t.String())])),
  account: t.Optional(t.String()),
  credential: t.Optional(t.String({ description: 'The id of the token, if one was used' })),
  address: t.String(),
  requestId: t.String(),
})

const AuditQuery = t.Object({
  ...pageParameters,
  kind: t.Optional(
    t.UnionEnum(['change', 'refused', 'signed-in', 'failed'], {
      default: undefined,
      description: 'Changes, denied requests, sign-ins or failed sign-ins [change]',
    }),
  ),
})

/** GET /api/v1/audit: changes to accounts and grants, denied requests, and sign-ins. */
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
          'Denied requests and sign-ins are stored apart from changes, so that they cannot crowd those out. Repeats of an ' +
          'account from one address are one entry an hour, with the last target.',
        access: 'admin',
        answer: pageOf(Act, 'Entries, newest first'),
      }),
    },
  )
}

function toAct({ id: _, ...entry }: AuditEntry) {
  return present(entry)
}
