import { and, asc, desc, eq, gt, type Placeholder, type SQL, sql } from 'drizzle-orm'
import type { Write } from '../access/access.ts'
import type { Db } from '../database/database.ts'
import type { EventType } from '../database/outbox.ts'
import { event, tagHistory } from '../database/schema.ts'
import { bytes, insertInto, number, pageBy, statement, text } from '../database/statement.ts'
import type { Tag } from '../oci/reference.ts'

/** A move to record; null is no tag. */
export interface MoveLine extends Write {
  act: EventType
  reason?: string | undefined
  digest: Buffer | null
  previous: PastTag | undefined
}

/** The state of a tag in the past. */
export interface PastTag {
  /** The digest that its manifest was pushed with. */
  digest: Buffer
  /** When it would have expired, in milliseconds since 1970; null for never. */
  expiresAt: number | null
}

/** How many entries are read at once. */
const LINES_READ = 200

const named = { repositoryId: number, name: text }

export type TagLines = ReturnType<typeof tagLines>

/** The history of tags, which the writer records and reads to undo changes. */
export function tagLines(db: Db) {
  const insert = insertInto(db, tagHistory)
  const { firstSince, leftSince } = pastStatements(db)
  return {
    /** Records that a tag moved. */
    add(repositoryId: number, name: Tag, { caller, previous, ...line }: MoveLine): void {
      const before = { previous: previous?.digest, previousExpiresAt: previous?.expiresAt }
      insert.run({ ...caller, ...line, ...before, repositoryId, name })
    },

    /** Returns the tag as it was at a time, null if it did not exist; undefined if it has not moved since. */
    stateAt(repositoryId: number, name: Tag, at: number): PastTag | null | undefined {
      const line = firstSince.get({ repositoryId, name, at })
      return line && toPastTag(line)
    },

    /**
     * Returns the tag as it last pointed at the digest, and when it was moved away; undefined if not since the time.
     */
    lastAt(
      repositoryId: number,
      name: Tag,
      digest: Buffer,
      since: number,
    ): { state: PastTag; leftAt: number } | undefined {
      const line = leftSince.get({ repositoryId, name, digest, at: since })
      return line && { state: { digest, expiresAt: line.previousExpiresAt }, leftAt: line.at }
    },

    ...lineWalks(db),
  }
}

/** Iterates over the moves of many tags. */
function lineWalks(db: Db) {
  const { lastId, movedAt, movedAfter, goneWith } = walkStatements(db)
  return {
    /**
     * Yields every tag that moved between two times, as it was at the first one. Skips entries that are added
     * meanwhile.
     */
    *movedSince(
      repositoryId: number,
      from: number,
      until: number,
    ): Iterable<{ name: Tag; state: PastTag | null }> {
      const last = lastId.get({})?.id ?? 0
      const asked = { repositoryId, from, limit: LINES_READ }
      const moves = inTimeOrder(
        { at: from, id: last },
        {
          sameTime: ({ at, id }) => movedAt.all({ ...asked, at, id }),
          later: ({ at }) => movedAfter.all({ ...asked, at }),
        },
      )
      for (const { id, at, name, isFirst, ...line } of moves) {
        if (id > last && at >= until) return
        if (isFirst && id <= last) yield { name: name as Tag, state: toPastTag(line) }
      }
    },

    /** Yields the tags that were deleted with a manifest at this time, as they were. */
    *goneWith(repositoryId: number, at: number): Iterable<{ name: Tag; state: PastTag }> {
      let after = 0
      for (;;) {
        const page = goneWith.all({ repositoryId, at, after, limit: LINES_READ })
        for (const { id, name, ...line } of page) {
          const state = toPastTag(line)
          if (state) yield { name: name as Tag, state }
          after = id
        }
        if (page.length < LINES_READ) return
      }
    },
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
  return { firstSince, leftSince }
}

function walkStatements(db: Db) {
  const before = { previous: tagHistory.previous, previousExpiresAt: tagHistory.previousExpiresAt }
  const lastId = statement(db, {}, () => sql<{ id: number | null }>`select max(id) as id from tag_history`)
  // A tag's entries are ordered by time, so the first one since then follows one from before.
  const moves = (
    { repositoryId, from, limit }: Record<'repositoryId' | 'from' | 'limit', Placeholder>,
    when: SQL | undefined,
  ) =>
    db
      .select({
        id: tagHistory.id,
        at: tagHistory.at,
        name: tagHistory.name,
        ...before,
        isFirst: sql<number>`coalesce((select e.at from tag_history e
          where e.repository_id = tag_history.repository_id and e.name = tag_history.name
            and e.id < tag_history.id order by e.id desc limit 1), 0) <= ${from}`,
      })
      .from(tagHistory)
      .where(and(eq(tagHistory.repositoryId, repositoryId), when))
      .orderBy(asc(tagHistory.at), asc(tagHistory.id))
      .limit(limit)
  const asked = { repositoryId: number, from: number, at: number, limit: number }
  const movedAt = statement(db, { ...asked, id: number }, ({ at, id, ...rest }) =>
    moves(rest, and(eq(tagHistory.at, at), gt(tagHistory.id, id))),
  )
  const movedAfter = statement(db, asked, ({ at, ...rest }) => moves(rest, gt(tagHistory.at, at)))
  const goneWith = statement(
    db,
    { repositoryId: number, at: number, after: number, limit: number },
    ({ repositoryId, at, after, limit }) =>
      db
        .select({ id: tagHistory.id, name: tagHistory.name, ...before })
        .from(tagHistory)
        .where(
          and(
            eq(tagHistory.repositoryId, repositoryId),
            eq(tagHistory.at, at),
            gt(tagHistory.id, after),
            eq(tagHistory.act, 'manifest.delete'),
          ),
        )
        .orderBy(asc(tagHistory.id))
        .limit(limit),
  )
  return { lastId, movedAt, movedAfter, goneWith }
}

/** The place of a row in the order of a time and the row's id. */
export interface TimePlace {
  /** Milliseconds since 1970. */
  at: number
  id: number
}

/**
 * Yields rows in the order of their time and id, some at a time. Rows of the same time are read by a statement of
 * their own, because SQLite cannot seek an index to a time and an id: each page would read all earlier rows of that
 * time again.
 */
export function* inTimeOrder<Row extends TimePlace>(
  start: TimePlace,
  { sameTime, later }: Record<'sameTime' | 'later', (after: TimePlace) => Row[]>,
): Iterable<Row> {
  for (let after = start; ; ) {
    const rest = sameTime(after)
    const page = rest.length > 0 ? rest : later(after)
    const last = page.at(-1)
    if (last === undefined) return
    after = last
    yield* page
  }
}

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
