import { t } from 'elysia'
import type { EventRow } from '../../../core/content/history.ts'
import { networkOf } from '../../../domain/access/client-network.ts'
import type { Principal } from '../../../domain/access/principal.ts'
import { EVENT_TYPES } from '../../../domain/events.ts'
import { parseRepositoryName } from '../../../oci/reference.ts'
import { type AdminContext, controller } from '../context.ts'
import { omitAbsent } from '../omit-absent.ts'
import { operation } from '../operation.ts'
import { DigestText, mapPage, oneOf, pageOf, pageParameters, RepositoryText, Time } from '../schemas.ts'
import { toWho } from '../who.ts'
import { changeEvents } from './change-events.ts'
import { answerEvents } from './event-stream.ts'

const EventModel = t.Object({
  id: t.String({ example: '42' }),
  at: Time,
  type: oneOf(EVENT_TYPES),
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
  type: t.Optional(oneOf(EVENT_TYPES)),
})

const LIST = operation('listEvents', 'catalog', 'List the changes to content', {
  description: 'Server admins see all events; others must name a repository that they may pull from.',
  answer: pageOf(EventModel, 'Events, newest first'),
  errors: ['NAME_INVALID'],
})

const WatchQuery = t.Object({
  after: t.Optional(
    t.String({
      pattern: '^[0-9]{1,15}$',
      example: '42',
      description: 'Begins after the event with this id; by default with the next one',
    }),
  ),
})

const WATCH = operation('watchEvents', 'catalog', 'Watch the changes to content through server-sent events', {
  description:
    'Begins with `ready`, which names the newest event and says how long ago it was. Then sends `change` for each event of ' +
    'a repository that you may pull from, and for server admins `jobs` with the newest jobs, at first and when they change. A client ' +
    'that connects again continues with `Last-Event-ID` or `after`.',
  answer: t.Object(
    {
      event: oneOf(['ready', 'change', 'jobs']),
      data: t.String({ description: 'The event or jobs, as JSON', example: '{"id":"42","type":"tag.put"}' }),
    },
    { description: 'An event' },
  ),
  mediaType: 'text/event-stream',
})

/** GET /api/v1/events, /api/v1/events/watch */
export function events(context: AdminContext) {
  const { history, changes } = context.content
  return controller(context, 'events', '/events')
    .get(
      '',
      async ({ principal, query }) => {
        const repository = query.repository === undefined ? undefined : parseRepositoryName(query.repository)
        const found = await history.events(principal, { ...query, repository })
        return mapPage(found, (row) => toEvent(row, principal))
      },
      { query: EventsQuery, ...LIST },
    )
    .get(
      '/watch',
      ({ request, query, set, findPrincipal }) => {
        const watched = {
          client: networkOf(context.addressOf(request)),
          after: query.after === undefined ? lastOf(request) : Number(query.after),
          now: context.now,
          // Accounts and grants can change while the client watches.
          findPrincipal: () => findPrincipal(request, set),
        }
        return answerEvents(request.method, () => changeEvents(changes, watched, toEvent))
      },
      { query: WatchQuery, ...WATCH },
    )
}

/** Returns the id of the last event that a client has seen which connects again. */
function lastOf(request: Request): number | undefined {
  const last = Number(request.headers.get('last-event-id') ?? Number.NaN)
  return Number.isSafeInteger(last) ? last : undefined
}

function toEvent(row: EventRow, principal: Principal) {
  const { digest, account: _, credential: __, address: ___, requestId: ____, ...event } = row
  return omitAbsent({
    ...event,
    id: String(event.id),
    type: row.type as (typeof EVENT_TYPES)[number],
    digest: digest ?? undefined,
    ...toWho(row, principal),
  })
}
