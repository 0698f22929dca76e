import { lte, sql } from 'drizzle-orm'
import type { Digest } from '../oci/digest.ts'
import { digestToBytes } from '../oci/digest.ts'
import type { RepositoryName, Tag } from '../oci/reference.ts'
import type { Caller } from './caller.ts'
import type { Db } from './database.ts'
import { event, tagHistory } from './schema.ts'

/** The outbox keeps this many events; older ones go when new ones come, */
const EVENTS_MAX = 100_000
/** this many at a time. */
const EVENTS_TRIMMED = 1000

export type EventType =
  | 'blob.push'
  | 'blob.mount'
  | 'blob.delete'
  | 'manifest.push'
  | 'manifest.delete'
  | 'tag.delete'

export interface Change {
  type: EventType
  repository: RepositoryName
  digest?: Digest
  tag?: Tag
}

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
  const move = db
    .insert(tagHistory)
    .values({
      repositoryId: sql.placeholder('repositoryId'),
      name: sql.placeholder('name'),
      digest: sql.placeholder('digest'),
      at: sql.placeholder('at'),
      account: sql.placeholder('account'),
      credential: sql.placeholder('credential'),
      address: sql.placeholder('address'),
      requestId: sql.placeholder('requestId'),
    })
    .prepare()
  return {
    /** Puts one event into the outbox. */
    tell(change: Change, caller: Caller, at: number): void {
      const digest = change.digest === undefined ? null : digestToBytes(change.digest)
      const row = append.get({ ...who(caller), at, ...change, digest, tag: change.tag ?? null })
      if (row.id % EVENTS_TRIMMED === 0) trim.run({ id: row.id - EVENTS_MAX })
    },

    /** Records that a tag points at `digest` from now on, or at nothing. */
    moveTag(repositoryId: number, name: Tag, digest: Buffer | null, caller: Caller, at: number): void {
      move.run({ ...who(caller), repositoryId, name, digest, at })
    },
  }
}

function who(caller: Caller) {
  return {
    account: caller.account ?? null,
    credential: caller.credential ?? null,
    address: caller.address,
    requestId: caller.requestId,
  }
}
