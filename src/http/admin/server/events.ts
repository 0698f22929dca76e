import { t } from 'elysia'
import type { EventRow } from '../../../core/content/history.ts'
import { EVENT_TYPES } from '../../../domain/events.ts'
import type { Principal } from '../../../domain/principal.ts'
import { digestFromBytes } from '../../../oci/digest.ts'
import { parseRepositoryName } from '../../../oci/reference.ts'
import { type AdminContext, controller } from '../context.ts'
import { omitAbsent } from '../omit-absent.ts'
import { operation } from '../operation.ts'
import { DigestText, integer, mapPage, pageOf, pageParameters, RepositoryText, Time } from '../schemas.ts'
import { toWho } from '../who.ts'

const EventModel = t.Object({
  id: integer(),
  at: Time,
  type: t.UnionEnum([...EVENT_TYPES], { default: undefined }),
  repository: RepositoryText,
  tag: t.Optional(t.String({ example: 'latest' })),
  digest: t.Optional(DigestText),
  account: t.Optional(t.String({ description: 'Who did it; hidden from anonymous callers' })),
  credentialId: t.Optional(t.String({ description: 'Server admins only, as are the fields below' })),
  address: t.Optional(t.String({ description: 'The IP address of the client', example: '192.0.2.7' })),
  requestId: t.Optional(t.String()),
})

const EventsQuery = t.Object({
  ...pageParameters,
  repository: t.Optional(t.String({ maxLength: 255, example: 'library/alpine' })),
  type: t.Optional(t.UnionEnum([...EVENT_TYPES], { default: undefined })),
})

const LIST = operation({
  id: 'listEvents',
  summary: 'List the changes to content',
  access: 'catalog',
  description: 'Server admins see all events; others must name a repository that they may pull from.',
  answer: pageOf(EventModel, 'Events, newest first'),
  errors: ['NAME_INVALID'],
})

/** GET /api/v1/events */
export function events(context: AdminContext) {
  return controller(context, 'events', '/events').get(
    '',
    async ({ principal, query }) => {
      const repository = query.repository === undefined ? undefined : parseRepositoryName(query.repository)
      const found = await context.content.history.events(principal, { ...query, repository })
      return mapPage(found, (row) => toEvent(row, principal))
    },
    { query: EventsQuery, ...LIST },
  )
}

function toEvent(row: EventRow, principal: Principal) {
  const { digest, account: _, credential: __, address: ___, requestId: ____, ...event } = row
  return omitAbsent({
    ...event,
    type: row.type as (typeof EVENT_TYPES)[number],
    digest: digest === null ? undefined : digestFromBytes(digest),
    ...toWho(row, principal),
  })
}
