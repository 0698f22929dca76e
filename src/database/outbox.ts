import { and, desc, gte, lt, lte, sql } from 'drizzle-orm'
import type { Caller } from '../access/access.ts'
import {
  type Digest,
  digestFromBytes,
  digestToBytes,
  type RepositoryName,
  type Tag,
} from '../oci/reference.ts'
import { turn } from '../runtime/clock.ts'
import type { Db } from './database.ts'
import { event } from './schema.ts'
import { insertForId, number, optional, pageBy, statement, text } from './statement.ts'

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

/** How many events the outbox keeps. New events displace the oldest ones. */
const EVENTS_MAX = 100_000
/** How many old events are deleted at a time. */
const EVENTS_TRIMMED = 1000

/** Adds an event to the outbox, in the transaction of its change. */
export type RecordEvent = (change: Change, caller: Caller, at: number) => void

export function outboxWrites(db: Db): RecordEvent {
  const append = insertForId(db, event)
  const trim = statement(db, { id: number }, ({ id }) => db.delete(event).where(lte(event.id, id)))
  return (change, caller, at) => {
    const digest = change.digest === undefined ? null : digestToBytes(change.digest)
    const { id } = append.get({ ...caller, at, ...change, digest })
    if (id % EVENTS_TRIMMED === 0) trim.run({ id: id - EVENTS_MAX })
  }
}

/** The types of events: changes to content, and warnings for admins. */
export const EVENT_TYPES = [
  'blob.push',
  'blob.mount',
  'blob.delete',
  'cache.evict',
  'manifest.cache',
  'manifest.push',
  'manifest.delete',
  'manifest.purge',
  'manifest.restore',
  'quota.critical',
  'quota.warning',
  'repository.create',
  'repository.change',
  'repository.delete',
  'repository.purge',
  'repository.restore',
  'repository.rewind',
  'retention.expire',
  'tag.follow',
  'tag.put',
  'tag.change',
  'tag.delete',
  'tag.expire',
  'tag.restore',
] as const

export type EventType = (typeof EVENT_TYPES)[number]

interface Change {
  type: EventType
  /** For events of quotas, the namespace. */
  repository: RepositoryName
  digest?: Digest
  tag?: Tag
}
