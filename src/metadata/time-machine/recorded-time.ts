import type { Db } from '../database.ts'
import { pageBy } from '../rows.ts'
import { event, tagHistory } from '../schema/schema.ts'

/**
 * How many of the last records are examined. Expired tags are recorded with the time of their expiry, which is in the
 * past.
 */
const RECORDS_MAX = 100

/** Returns a function that returns the newest recorded time, in milliseconds since 1970; 0 without any. */
export function newestTime(db: Db): () => number {
  const events = pageBy(db, event, ['id', 'desc'])
  const moves = pageBy(db, tagHistory, ['id', 'desc'])
  const newest = { last: Number.MAX_SAFE_INTEGER, limit: RECORDS_MAX }
  return () => Math.max(0, ...[...events.all(newest), ...moves.all(newest)].map(({ at }) => at))
}
