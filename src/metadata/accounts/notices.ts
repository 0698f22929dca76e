import { and, asc, desc, eq, gt, lt, lte } from 'drizzle-orm'
import type { Db } from '../database.ts'
import { auditNotice } from '../schema/account-schema.ts'
import { number, statement, text } from '../statement.ts'

export type NoticeRow = typeof auditNotice.$inferSelect
export type NoticeKind = NoticeRow['kind']

/** A denial or a sign-in, which happened `count` times. */
export type Notice = Omit<NoticeRow, 'id' | 'firstAt'>

/** How many rows of each kind the log keeps. New ones displace the oldest. */
const ROWS_MAX = 10_000
const ROWS_TRIMMED = 100

/** How long repeats are counted in one row. */
const SAME_MILLISECONDS = 3_600_000

/** The maximum targets of one account at one address that have their own rows within the hour. */
export const TARGETS_MAX = 16

/** Writes of notices. */
export function noticeWrites(db: Db) {
  const takeRepeated = repeats(db)
  const oldest = statement(db, { kind: text }, ({ kind }) =>
    db
      .select({ id: auditNotice.id })
      .from(auditNotice)
      .where(eq(auditNotice.kind, kind))
      .orderBy(desc(auditNotice.id))
      .limit(1)
      .offset(ROWS_MAX),
  )
  const trim = (kind: NoticeKind) => {
    const { id } = oldest.get({ kind }) ?? {}
    if (id === undefined) return
    db.delete(auditNotice)
      .where(and(eq(auditNotice.kind, kind), lte(auditNotice.id, id)))
      .run()
  }
  return {
    /**
     * Adds notices to the log. Within an hour, repeats by one account from one address share one row, which becomes
     * the newest; for denials, only those with the same target.
     */
    addNotices({ notices }: { notices: Notice[] }): void {
      for (const notice of notices) {
        const { kind, at } = notice
        const before = takeRepeated(notice)
        const count = notice.count + (before?.count ?? 0)
        const { id } = db
          .insert(auditNotice)
          .values({ ...notice, count, firstAt: before?.firstAt ?? at })
          .returning({ id: auditNotice.id })
          .get()
        if (id % ROWS_TRIMMED === 0) trim(kind)
      }
    },
  }
}

/** Returns a function that removes and returns the row that a notice repeats. Denials repeat the one with their target. */
function repeats(db: Db) {
  const ofSource = statement(
    db,
    { kind: text, account: text, address: text, after: number },
    ({ kind, account, address, after }) =>
      db
        .select({
          id: auditNotice.id,
          firstAt: auditNotice.firstAt,
          count: auditNotice.count,
          target: auditNotice.target,
        })
        .from(auditNotice)
        .where(
          and(
            eq(auditNotice.kind, kind),
            eq(auditNotice.account, account),
            eq(auditNotice.address, address),
            gt(auditNotice.firstAt, after),
          ),
        )
        .orderBy(asc(auditNotice.firstAt), asc(auditNotice.id))
        .limit(TARGETS_MAX + 1),
  )
  const remove = statement(db, { id: number }, ({ id }) =>
    db.delete(auditNotice).where(eq(auditNotice.id, id)),
  )
  return ({ kind, account, address, at, target }: Notice) => {
    const rows = ofSource.all({ kind, account, address, after: at - SAME_MILLISECONDS })
    const same = kind === 'refused' ? rows.find((row) => row.target === target) : rows[0]
    // With too many targets, the last row counts all others.
    const found = same ?? (rows.length > TARGETS_MAX ? rows.at(-1) : undefined)
    if (found !== undefined) remove.run({ id: found.id })
    return found
  }
}

/** Reads of notices. */
export function noticeReads(db: Db) {
  return {
    /** Returns at most `limit` notices of a kind before the id `before`, newest first. */
    list: (kind: NoticeKind, before: number, limit: number): NoticeRow[] =>
      db
        .select()
        .from(auditNotice)
        .where(and(eq(auditNotice.kind, kind), lt(auditNotice.id, before)))
        .orderBy(desc(auditNotice.id))
        .limit(limit)
        .all(),
  }
}
