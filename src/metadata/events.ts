import { lte } from 'drizzle-orm'
import type { Caller } from '../domain/access/caller.ts'
import type { Change } from '../domain/events.ts'
import { digestToBytes } from '../oci/digest.ts'
import type { Db } from './database.ts'
import { insertForId } from './rows.ts'
import { event } from './schema/schema.ts'
import { number, statement } from './statement.ts'

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
