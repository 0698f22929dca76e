import { t } from 'elysia'
import type { AuditEntry, AuditKind } from '../../../core/accounts/audit.ts'
import { type AdminContext, controller } from '../context.ts'
import { omitAbsent } from '../omit-absent.ts'
import { operation } from '../operation.ts'
import { integer, mapPage, oneOf, pageOf, pageParameters, Time } from '../schemas.ts'

const Act = t.Object({
  at: Time,
  firstAt: t.Optional(Time),
  count: t.Optional(integer({ minimum: 1, description: 'How many times since `firstAt`' })),
  action: t.String({ description: 'Such as `user.create`, `grant.set` or `token.delete`' }),
  target: t.String(),
  details: t.Record(t.String(), t.Union([t.String(), t.Number(), t.Boolean(), t.Array(t.String())])),
  account: t.Optional(t.String()),
  credentialId: t.Optional(t.String({ description: 'The id of the token, if one was used' })),
  address: t.String({ description: 'The IP address of the client', example: '192.0.2.7' }),
  requestId: t.String(),
})

/** The kinds of entries, as the audit service names them. */
const KIND_OF = {
  change: 'change',
  denied: 'refused',
  'sign-in': 'signed-in',
  'failed-sign-in': 'failed',
} as const satisfies Record<string, AuditKind>

const KINDS = Object.keys(KIND_OF) as [keyof typeof KIND_OF, ...(keyof typeof KIND_OF)[]]

const AuditQuery = t.Object({
  ...pageParameters,
  kind: t.Optional(oneOf(KINDS, 'Changes, denied requests, sign-ins or failed sign-ins [change]')),
})

/** GET /api/v1/audit: changes to accounts and grants, denied requests, and sign-ins. */
export function audit(context: AdminContext) {
  const { audit } = context.accounts
  return controller(context, 'audit', '/audit').get(
    '',
    async ({ query }) => mapPage(await audit.list(query, KIND_OF[query.kind ?? 'change']), toAct),
    {
      query: AuditQuery,
      ...operation('listAuditEntries', 'admin', 'Read the audit log', {
        description:
          'Denied requests and sign-ins are stored apart from changes, so that they cannot crowd those out. Repeats of an ' +
          'account from one address are one entry an hour, for denied requests one for each of the first 16 targets.',
        answer: pageOf(Act, 'Entries, newest first'),
      }),
    },
  )
}

function toAct({ id: _, detail: details, credential: credentialId, ...entry }: AuditEntry) {
  return omitAbsent({ ...entry, details, credentialId })
}
