import { and, desc, eq, gt, lt, lte } from 'drizzle-orm'
import { auditNotice } from '../account-schema.ts'
import type { Db } from '../database.ts'
import { number, statement, text } from '../statement.ts'

export type NoticeRow = typeof auditNotice.$inferSelect
export type NoticeKind = NoticeRow['kind']

/** A refusal or a sign-in, `count` times. */
export type Notice = Omit<NoticeRow, 'id' | 'firstAt'>

/** The log keeps so many rows of each kind; older ones go when new ones come. */
const ROWS_MAX = 10_000
const ROWS_TRIMMED = 100

/** The same again is counted in one row for so long. */
const SAME_MILLISECONDS = 3_600_000

/** Writes of what changed nothing. */
export function noticeWrites(db: Db) {
  const same = statement(
    db,
    { kind: text, account: text, address: text, after: number },
    ({ kind, account, address, after }) =>
      db
        .delete(auditNotice)
        .where(
          and(
            eq(auditNotice.kind, kind),
            eq(auditNotice.account, account),
            eq(auditNotice.address, address),
            gt(auditNotice.firstAt, after),
          ),
        )
        .returning({ firstAt: auditNotice.firstAt, count: auditNotice.count }),
  )
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
    /** Adds notices to the log. The same of an account, from one address, is one row an hour, which is then the newest. */
    addNotices({ notices }: { notices: Notice[] }): void {
      for (const notice of notices) {
        const { kind, account, address, at } = notice
        const [before] = same.all({ kind, account, address, after: at - SAME_MILLISECONDS })
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

/** Reads of what changed nothing. */
export function noticeReads(db: Db) {
  return {
    /** At most `limit` notices of a kind before the id `before`, newest first. */
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
