import { eq, sql } from 'drizzle-orm'
import type { Db } from '../database.ts'
import { total } from '../schema/schema.ts'
import { number, statement, text } from '../statement.ts'

/** Reads a sum that triggers keep current; 0 if there is none of this name. */
export type ReadTotal = (name: TotalName) => number

type TotalName =
  | 'blob.count'
  | 'blob.bytes'
  | 'cache.count'
  | 'cache.bytes'
  | 'cache.manifest_bytes'
  | 'labels.unread'
  | 'pulls.since'
  | 'quota.counted'
  | 'retention.event'
  | 'retention.policies'

export function totals(db: Db): ReadTotal {
  const byName = statement(db, { name: text }, ({ name }) =>
    db.select({ value: total.value }).from(total).where(eq(total.name, name)),
  )
  return (name) => byName.get({ name })?.value ?? 0
}

/** Writes a value that no trigger updates. */
export type WriteTotal = (name: TotalName, value: number) => void

export function totalWrites(db: Db): WriteTotal {
  const put = statement(db, { name: text, value: number }, (row) =>
    db
      .insert(total)
      .values(row)
      .onConflictDoUpdate({ target: total.name, set: { value: sql`excluded.value` } }),
  )
  return (name, value) => put.run({ name, value })
}
