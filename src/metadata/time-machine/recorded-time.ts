import { desc } from 'drizzle-orm'
import type { Db } from '../database.ts'
import { event, tagHistory } from '../schema.ts'

/** The end of a tag is recorded as of its time, which is past: so many of the last records are looked at. */
const RECORDS_MAX = 100

/** The newest time that is recorded, in milliseconds since 1970; 0 when nothing is. */
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
