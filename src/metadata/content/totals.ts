import { eq } from 'drizzle-orm'
import type { Db } from '../database.ts'
import { total } from '../schema.ts'
import { statement, text } from '../statement.ts'

/** Reads a sum that is kept with every change; 0 when there is none of this name. */
export type ReadTotal = (name: 'blob.count' | 'blob.bytes' | 'cache.count' | 'cache.bytes') => number

export function totals(db: Db): ReadTotal {
  const byName = statement(db, { name: text }, ({ name }) =>
    db.select({ value: total.value }).from(total).where(eq(total.name, name)),
  )
  return (name) => byName.get({ name })?.value ?? 0
}
