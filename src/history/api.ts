import { networkOf, type Principal } from '../access/access.ts'
import type { EVENT_TYPES, EventRow } from '../database/outbox.ts'
import {
  type AdminContext,
  answerEvents,
  controller,
  eventStream,
  eventText,
  omitAbsent,
  type Sent,
} from '../http/controller.ts'
import { mapPage, toWho } from '../http/schemas.ts'
import { toJob } from '../jobs/jobs.ts'
import { parseRepositoryName, type RepositoryName } from '../oci/reference.ts'
import type { Changes } from './history.ts'
import { EventsQuery, LIST, WATCH, WatchQuery } from './models.ts'

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
        return answerEvents(request.method, () => changeEvents(changes, watched))
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

interface Watched {
  /** The client whose limit the stream counts against. */
  client: string
  /** The id of the last event that the client received. */
  after: number | undefined
  now: () => number
  /** Returns the caller with their current rights. Throws UNAUTHORIZED. */
  findPrincipal: () => Promise<Principal>
}

/**
 * Streams the changes that a caller may see, and for server admins the jobs. The stream ends when the caller may no
 * longer watch.
 *
 * @throws RegistryError TOOMANYREQUESTS if there are too many watchers
 */
function changeEvents(changes: Changes, { client, after, now, findPrincipal }: Watched) {
  return eventStream((wake) => {
    const watch = changes.watch(client, wake, after)
    let text = ''
    let isReady = false
    const ready = async () => {
      const newest = await watch.start()
      const data = newest && { id: String(newest.id), millisecondsAgo: Math.max(now() - newest.at, 0) }
      text = eventText('ready', data ?? {})
      isReady = true
    }
    return {
      async take(): Promise<Sent | undefined> {
        if (watch.isOver()) return { text: '', isEnd: true }
        const principal = await permitted(findPrincipal)
        if (principal === undefined) return { text: '', isEnd: true }
        if (!isReady) await ready()
        const rows = await watch.take()
        text += rows
          .filter(({ repository }) => principal.may('pull', repository as RepositoryName))
          .map((row) => eventText('change', toEvent(row, principal), row.id))
          .join('')
        const jobs = principal.isAdmin ? watch.takeJobs() : undefined
        if (jobs !== undefined) text += eventText('jobs', { items: jobs.map(toJob) })
        // There may be more, because each read returns only a part.
        if (rows.length > 0) wake()
        const sent = text
        text = ''
        return sent === '' ? undefined : { text: sent, isEnd: false }
      },
      stop: watch.stop,
    }
  })
}

/** Returns the caller, undefined if they may no longer see anything. */
async function permitted(findPrincipal: () => Promise<Principal>): Promise<Principal | undefined> {
  try {
    const principal = await findPrincipal()
    principal.catalog()
    return principal
  } catch {
    return undefined
  }
}
