import { lte, sql } from 'drizzle-orm'
import type { Caller } from '../domain/caller.ts'
import type { Change } from '../domain/events.ts'
import { digestToBytes } from '../oci/digest.ts'
import type { Db } from './database.ts'
import { event } from './schema.ts'
import { whoColumns } from './who-columns.ts'

/** The outbox keeps this many events; older ones go when new ones come, */
const EVENTS_MAX = 100_000
/** this many at a time. */
const EVENTS_TRIMMED = 1000

/** Writes that go with a change, in its transaction. */
export function eventWrites(db: Db) {
  const append = db
    .insert(event)
    .values({
      at: sql.placeholder('at'),
      type: sql.placeholder('type'),
      repository: sql.placeholder('repository'),
      digest: sql.placeholder('digest'),
      tag: sql.placeholder('tag'),
      account: sql.placeholder('account'),
      credential: sql.placeholder('credential'),
      address: sql.placeholder('address'),
      requestId: sql.placeholder('requestId'),
    })
    .returning({ id: event.id })
    .prepare()
  const trim = db
    .delete(event)
    .where(lte(event.id, sql.placeholder('id')))
    .prepare()
  return {
    /** Puts one event into the outbox. */
    tell(change: Change, caller: Caller, at: number): void {
      const digest = change.digest === undefined ? null : digestToBytes(change.digest)
      const row = append.get({ ...whoColumns(caller), at, ...change, digest, tag: change.tag ?? null })
      if (row.id % EVENTS_TRIMMED === 0) trim.run({ id: row.id - EVENTS_MAX })
    },
  }
}
