import { and, asc, eq, gt, type Placeholder, sql } from 'drizzle-orm'
import type { Write } from '../../domain/caller.ts'
import type { EventType } from '../../domain/events.ts'
import type { Tag } from '../../oci/reference.ts'
import type { Db } from '../database.ts'
import { tagHistory } from '../schema.ts'
import { bytes, number, optional, statement, text } from '../statement.ts'
import { whoColumns } from '../who-columns.ts'

/** A move to be recorded; null is no tag. */
export interface MoveLine extends Write {
  act: EventType
  digest: Buffer | null
  previous: Buffer | null
}

/** Where a tag pointed at some time; null: nowhere. */
export type PastState = Buffer | null

const named = { repositoryId: number, name: text }

export type TagLines = ReturnType<typeof tagLines>

/** What the writer records of tags, and looks up to undo it. */
export function tagLines(db: Db) {
  const insert = statement(
    db,
    {
      ...named,
      digest: optional(bytes),
      previous: optional(bytes),
      at: number,
      act: text,
      account: optional(text),
      credential: optional(text),
      address: text,
      requestId: text,
    },
    (line) => db.insert(tagHistory).values(line),
  )
  const { firstSince, leftSince, movedSince, goneWith } = pastStatements(db)
  return {
    /** Records that a tag moved. */
    add(repositoryId: number, name: Tag, { caller, ...line }: MoveLine): void {
      insert.run({ ...whoColumns(caller), ...line, repositoryId, name })
    },

    /** Where the tag pointed at a time; undefined when it has not moved since. */
    stateAt(repositoryId: number, name: Tag, at: number): PastState | undefined {
      return firstSince.get({ repositoryId, name, at })?.previous
    },

    /** Whether the tag pointed at the digest at some time since, or until then, and no longer does. */
    hasLeft: (repositoryId: number, name: Tag, digest: Buffer, at: number): boolean =>
      leftSince.get({ repositoryId, name, digest, at }) !== undefined,

    /** Every tag that moved after a time, with where it pointed then. */
    movedSince: (repositoryId: number, at: number): { name: Tag; state: PastState }[] =>
      movedSince
        .all({ repositoryId, at })
        // `previous` is of the row that has the least id: https://sqlite.org/lang_select.html#bareagg
        .map(({ name, previous }) => ({ name: name as Tag, state: previous })),

    /** The tags that went with a manifest in one act at this time, with the digest that they had. */
    goneWith: (repositoryId: number, at: number): { name: Tag; digest: Buffer }[] =>
      goneWith
        .all({ repositoryId, at })
        .flatMap(({ name, previous }) => (previous ? [{ name: name as Tag, digest: previous }] : [])),
  }
}

function pastStatements(db: Db) {
  const ofTag = ({ repositoryId, name }: { [K in keyof typeof named]: Placeholder }) =>
    and(eq(tagHistory.repositoryId, repositoryId), eq(tagHistory.name, name))
  const firstSince = statement(db, { ...named, at: number }, (wanted) =>
    db
      .select({ previous: tagHistory.previous })
      .from(tagHistory)
      .where(and(ofTag(wanted), gt(tagHistory.at, wanted.at)))
      .orderBy(asc(tagHistory.id))
      .limit(1),
  )
  const leftSince = statement(db, { ...named, at: number, digest: bytes }, (wanted) =>
    db
      .select({ id: tagHistory.id })
      .from(tagHistory)
      .where(and(ofTag(wanted), gt(tagHistory.at, wanted.at), eq(tagHistory.previous, wanted.digest)))
      .limit(1),
  )
  const movedSince = statement(db, { repositoryId: number, at: number }, ({ repositoryId, at }) =>
    db
      .select({ name: tagHistory.name, previous: tagHistory.previous, first: sql`min(${tagHistory.id})` })
      .from(tagHistory)
      .where(and(eq(tagHistory.repositoryId, repositoryId), gt(tagHistory.at, at)))
      .groupBy(tagHistory.name),
  )
  const goneWith = statement(db, { repositoryId: number, at: number }, ({ repositoryId, at }) =>
    db
      .select({ name: tagHistory.name, previous: tagHistory.previous })
      .from(tagHistory)
      .where(
        and(
          eq(tagHistory.repositoryId, repositoryId),
          eq(tagHistory.at, at),
          eq(tagHistory.act, 'manifest.delete'),
        ),
      )
      .orderBy(asc(tagHistory.id)),
  )
  return { firstSince, leftSince, movedSince, goneWith }
}
