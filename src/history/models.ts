import { type Static, t } from 'elysia'
import { EVENT_TYPES } from '../database/outbox.ts'
import { operation, type Route } from '../http/operation.ts'
import { DigestText, oneOf, pageOf, pageParameters, RepositoryText, Time } from '../http/schemas.ts'

const credential = {
  credentialId: t.Optional(t.String({ description: 'Server admins only, as are the fields below' })),
  address: t.Optional(t.String({ description: 'The IP address of the client', example: '192.0.2.7' })),
  requestId: t.Optional(t.String()),
}

const Move = t.Object({
  at: Time,
  tag: t.String({ example: 'latest' }),
  type: t.Optional(oneOf(EVENT_TYPES, 'What moved the tag, if known')),
  digest: t.Optional(
    t.String({
      description: 'The manifest that the tag points at from this time on; absent if the tag was deleted',
    }),
  ),
  previousDigest: t.Optional(DigestText),
  reason: t.Optional(
    t.String({
      description: 'Why, if a retention policy decided it',
      example: 'policy ci: not one of the newest 10 by push time',
    }),
  ),
  restorable: t.Boolean({ description: 'Whether the previous manifest can still be restored' }),
  account: t.Optional(t.String({ description: 'Who moved the tag; hidden from anonymous callers' })),
  ...credential,
})

export type TagMove = Static<typeof Move>

/** A page of tag moves. */
export const Moves = pageOf(Move, 'Moves, newest first')

const EventModel = t.Object({
  id: t.String({ example: '42' }),
  at: Time,
  type: oneOf(EVENT_TYPES),
  repository: RepositoryText,
  tag: t.Optional(t.String({ example: 'latest' })),
  digest: t.Optional(DigestText),
  account: t.Optional(t.String({ description: 'Who did it; hidden from anonymous callers' })),
  ...credential,
})

export const EventsQuery = t.Object({
  ...pageParameters,
  repository: t.Optional(t.String({ maxLength: 255, example: 'library/alpine' })),
  type: t.Optional(oneOf(EVENT_TYPES)),
})

export const LIST = operation('listEvents', 'catalog', 'List the changes to content', {
  description: 'Server admins see all events; others must name a repository that they may pull from.',
  answer: pageOf(EventModel, 'Events, newest first'),
  errors: ['NAME_INVALID'],
})

export const WatchQuery = t.Object({
  after: t.Optional(
    t.String({
      pattern: '^[0-9]{1,15}$',
      example: '42',
      description: 'Begins after the event with this id; by default with the next one',
    }),
  ),
})

export const WATCH = operation(
  'watchEvents',
  'catalog',
  'Watch the changes to content through server-sent events',
  {
    description:
      'Begins with `ready`, which names the newest event and says how long ago it was. Then sends `change` for each event of ' +
      'a repository that you may pull from, and for server admins `jobs` with the newest jobs, at first and when they change. A client ' +
      'that connects again continues with `Last-Event-ID` or `after`.',
    answer: t.Object(
      {
        event: oneOf(['ready', 'change', 'jobs']),
        data: t.String({
          description: 'The event or jobs, as JSON',
          example: '{"id":"42","type":"tag.put"}',
        }),
      },
      { description: 'An event' },
    ),
    mediaType: 'text/event-stream',
  },
)

/** The routes below /api/v1, for the page and the commands. */
export type HistoryRoutes = {
  'events/watch': { get: Route<typeof WATCH, { query: typeof WatchQuery }> }
  events: { get: Route<typeof LIST, { query: typeof EventsQuery }> }
}
