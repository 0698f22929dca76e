import { lte } from 'drizzle-orm'
import type { Caller } from '../domain/access/caller.ts'
import type { Change } from '../domain/events.ts'
import { digestToBytes } from '../oci/digest.ts'
import type { Db } from './database.ts'
import { event } from './schema/schema.ts'
import { bytes, number, optional, statement, text } from './statement.ts'

/** How many events the outbox keeps. New events displace the oldest ones. */
const EVENTS_MAX = 100_000
/** How many old events are deleted at a time. */
const EVENTS_TRIMMED = 1000

/** Adds an event to the outbox, in the transaction of its change. */
export type RecordEvent = (change: Change, caller: Caller, at: number) => void

export function outboxWrites(db: Db): RecordEvent {
  const append = statement(
    db,
    {
      at: number,
      type: text,
      repository: text,
      digest: optional(bytes),
      tag: optional(text),
      account: optional(text),
      credential: optional(text),
      address: text,
      requestId: text,
    },
    (row) => db.insert(event).values(row).returning({ id: event.id }),
  )
  const trim = statement(db, { id: number }, ({ id }) => db.delete(event).where(lte(event.id, id)))
  return (change, caller, at) => {
    const digest = change.digest === undefined ? null : digestToBytes(change.digest)
    const { id } = append.get({ ...whoColumns(caller), at, ...change, digest, tag: change.tag ?? null })
    if (id % EVENTS_TRIMMED === 0) trim.run({ id: id - EVENTS_MAX })
  }
}

/** The columns for who made the change. */
export function whoColumns(caller: Caller) {
  return {
    account: caller.account ?? null,
    credential: caller.credential ?? null,
    address: caller.address,
    requestId: caller.requestId,
  }
}
