import type { Db } from '../database.ts'
import { putInto, selectBy } from '../rows.ts'
import { total } from '../schema/schema.ts'

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
  | 'scrub.blob'
  | 'scrub.manifest'
  | 'scrub.started'

export function totals(db: Db): ReadTotal {
  const byName = selectBy(db, total, 'name')
  return (name) => byName.get({ name })?.value ?? 0
}

/** Writes a value that no trigger updates. */
export type WriteTotal = (name: TotalName, value: number) => void

export function totalWrites(db: Db): WriteTotal {
  const put = putInto(db, total)
  return (name, value) => put.run({ name, value })
}
