import { and, desc, eq, lt } from 'drizzle-orm'
import type { EventType } from '../domain/events.ts'
import type { Db } from './database.ts'
import { event } from './schema.ts'

export type EventRow = typeof event.$inferSelect

export interface EventFilter {
  repository?: string | undefined
  type?: EventType | undefined
}

/** Reads of the outbox. */
export function outboxReads(db: Db) {
  return {
    /** At most `limit` events before the one with this id, newest first. */
    list(filter: EventFilter, before: number, limit: number): EventRow[] {
      const isMeant = and(
        lt(event.id, before),
        filter.repository === undefined ? undefined : eq(event.repository, filter.repository),
        filter.type === undefined ? undefined : eq(event.type, filter.type),
      )
      return db.select().from(event).where(isMeant).orderBy(desc(event.id)).limit(limit).all()
    },
  }
}
