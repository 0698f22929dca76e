import { desc } from 'drizzle-orm'
import type { Db } from '../database.ts'
import { event, tagHistory } from '../schema/schema.ts'

/**
 * How many of the last records are examined. Expired tags are recorded with the time of their expiry, which is in the
 * past.
 */
const RECORDS_MAX = 100

/** Returns the newest recorded time, in milliseconds since 1970; 0 without any. */
export function newestTime(db: Db): number {
  const rows = [
    ...db.select({ at: event.at }).from(event).orderBy(desc(event.id)).limit(RECORDS_MAX).all(),
    ...db
      .select({ at: tagHistory.at })
      .from(tagHistory)
      .orderBy(desc(tagHistory.id))
      .limit(RECORDS_MAX)
      .all(),
  ]
  return Math.max(0, ...rows.map(({ at }) => at))
}
