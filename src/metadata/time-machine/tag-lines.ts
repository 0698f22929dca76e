import { and, asc, desc, eq, gt, type Placeholder, sql } from 'drizzle-orm'
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
  previous: PastTag | undefined
}

/** A tag as it was. */
export interface PastTag {
  /** The digest that its manifest was pushed with. */
  digest: Buffer
  /** When it would have expired, in milliseconds since 1970; null for never. */
  expiresAt: number | null
}

/**
 * When a tag expires that is brought back. An end that is still to come stays; otherwise the tag gets the time that it
 * had left when it was last there, or no end if it had expired by itself.
 *
 * @param then when it was there
 */
export function restoredEnd({ expiresAt }: PastTag, then: number, now: number): number | null {
  if (expiresAt === null || expiresAt > now) return expiresAt
  return expiresAt > then ? now + expiresAt - then : null
}

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
      previousExpiresAt: optional(number),
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
    add(repositoryId: number, name: Tag, { caller, previous, ...line }: MoveLine): void {
      const before = { previous: previous?.digest ?? null, previousExpiresAt: previous?.expiresAt ?? null }
      insert.run({ ...whoColumns(caller), ...line, ...before, repositoryId, name })
    },

    /** The tag as it was at a time, null for none; undefined when it has not moved since. */
    stateAt(repositoryId: number, name: Tag, at: number): PastTag | null | undefined {
      const line = firstSince.get({ repositoryId, name, at })
      return line && toPastTag(line)
    },

    /** The tag as it last pointed at the digest, and when it left it; undefined when that is not since the time. */
    lastAt(
      repositoryId: number,
      name: Tag,
      digest: Buffer,
      since: number,
    ): { state: PastTag; leftAt: number } | undefined {
      const line = leftSince.get({ repositoryId, name, digest, at: since })
      return line && { state: { digest, expiresAt: line.previousExpiresAt }, leftAt: line.at }
    },

    /** Every tag that moved after a time, as it was then. */
    movedSince: (repositoryId: number, at: number): { name: Tag; state: PastTag | null }[] =>
      movedSince
        .all({ repositoryId, at })
        // What is selected is of the row that has the least id: https://sqlite.org/lang_select.html#bareagg
        .map(({ name, ...line }) => ({ name: name as Tag, state: toPastTag(line) })),

    /** The tags that went with a manifest in one act at this time, as they were. */
    goneWith: (repositoryId: number, at: number): { name: Tag; state: PastTag }[] =>
      goneWith.all({ repositoryId, at }).flatMap(({ name, ...line }) => {
        const state = toPastTag(line)
        return state ? [{ name: name as Tag, state }] : []
      }),
  }
}

function toPastTag({
  previous,
  previousExpiresAt,
}: {
  previous: Buffer | null
  previousExpiresAt: number | null
}): PastTag | null {
  return previous && { digest: previous, expiresAt: previousExpiresAt }
}

function pastStatements(db: Db) {
  const before = { previous: tagHistory.previous, previousExpiresAt: tagHistory.previousExpiresAt }
  const ofTag = ({ repositoryId, name }: { [K in keyof typeof named]: Placeholder }) =>
    and(eq(tagHistory.repositoryId, repositoryId), eq(tagHistory.name, name))
  const firstSince = statement(db, { ...named, at: number }, (wanted) =>
    db
      .select(before)
      .from(tagHistory)
      .where(and(ofTag(wanted), gt(tagHistory.at, wanted.at)))
      .orderBy(asc(tagHistory.id))
      .limit(1),
  )
  const leftSince = statement(db, { ...named, at: number, digest: bytes }, (wanted) =>
    db
      .select({ at: tagHistory.at, previousExpiresAt: tagHistory.previousExpiresAt })
      .from(tagHistory)
      .where(and(ofTag(wanted), gt(tagHistory.at, wanted.at), eq(tagHistory.previous, wanted.digest)))
      .orderBy(desc(tagHistory.id))
      .limit(1),
  )
  const movedSince = statement(db, { repositoryId: number, at: number }, ({ repositoryId, at }) =>
    db
      .select({ name: tagHistory.name, ...before, first: sql`min(${tagHistory.id})` })
      .from(tagHistory)
      .where(and(eq(tagHistory.repositoryId, repositoryId), gt(tagHistory.at, at)))
      .groupBy(tagHistory.name),
  )
  const goneWith = statement(db, { repositoryId: number, at: number }, ({ repositoryId, at }) =>
    db
      .select({ name: tagHistory.name, ...before })
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
