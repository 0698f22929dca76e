import { and, desc, gte, lt, sql } from 'drizzle-orm'
import type { EventType } from '../domain/events.ts'
import { type Digest, digestFromBytes } from '../oci/digest.ts'
import { turn } from '../turn.ts'
import type { Db } from './database.ts'
import { pageBy } from './rows.ts'
import { event } from './schema/schema.ts'
import { number, optional, statement, text } from './statement.ts'

/** An event. Its digest is null if the act has none. */
export type EventRow = Omit<typeof event.$inferSelect, 'digest'> & { digest: Digest | null }

export interface EventFilter {
  repository?: string | undefined
  type?: EventType | undefined
}

/** How many events are examined in one turn of some milliseconds. */
const EVENTS_A_TURN = 2000

/** Reads of the outbox. */
export function outboxReads(db: Db) {
  const ends = statement(
    db,
    {},
    () => sql<{ oldest: number | null; newest: number | null }>`
      select (select min(id) from event) as oldest,
        (select max(id) from event) as newest`,
  )
  const part = statement(
    db,
    { start: number, end: number, repository: optional(text), type: optional(text), limit: number },
    ({ start, end, repository, type, limit }) =>
      db
        .select()
        .from(event)
        .where(
          and(
            gte(event.id, start),
            lt(event.id, end),
            sql`(${repository} is null or ${event.repository} = ${repository})`,
            sql`(${type} is null or ${event.type} = ${type})`,
          ),
        )
        .orderBy(desc(event.id))
        .limit(limit),
  )
  const following = pageBy(db, event, ['id', 'asc'])
  const latest = statement(db, {}, () =>
    db.select({ id: event.id, at: event.at }).from(event).orderBy(desc(event.id)).limit(1),
  )
  return {
    /** Returns the id and the time of the newest event. */
    newest: (): { id: number; at: number } | undefined => latest.get({}),

    /** Returns at most `limit` events after the one with this id, oldest first. */
    after: (id: number, limit: number): EventRow[] => following.all({ last: id, limit }).map(toEvent),

    /**
     * Returns at most `limit` events before the one with this id, newest first. There is no index by repository,
     * because it would slow down every push. The outbox is bounded, so it is scanned, some events per turn.
     */
    async list(filter: EventFilter, before: number, limit: number): Promise<EventRow[]> {
      const { repository = null, type = null } = filter
      const { oldest, newest } = ends.get({}) ?? {}
      const rows: EventRow[] = []
      if (oldest == null || newest == null) return rows
      for (
        let end = Math.min(before, newest + 1);
        end > oldest && rows.length < limit;
        end -= EVENTS_A_TURN
      ) {
        const start = end - EVENTS_A_TURN
        rows.push(...part.all({ start, end, repository, type, limit: limit - rows.length }).map(toEvent))
        await turn()
      }
      return rows
    },
  }
}

function toEvent(row: typeof event.$inferSelect): EventRow {
  return { ...row, digest: row.digest && digestFromBytes(row.digest) }
}
