import { and, asc, eq, gt, sql } from 'drizzle-orm'
import type { Db } from '../database.ts'
import { deleteBy, insertForId, pageBy } from '../rows.ts'
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
  const insert = insertForId(db, auditNotice)
  const trim = statement(
    db,
    { kind: text, kept: number },
    ({ kind, kept }) => sql`delete from audit_notice where kind = ${kind}
      and id <= (select id from audit_notice where kind = ${kind} order by id desc limit 1 offset ${kept})`,
  )
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
        const { id } = insert.get({ ...notice, count, firstAt: before?.firstAt ?? at })
        if (id % ROWS_TRIMMED === 0) trim.run({ kind, kept: ROWS_MAX })
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
        .select()
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
  const remove = deleteBy(db, auditNotice, 'id')
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
  const page = pageBy(db, auditNotice, ['id', 'desc'], 'kind')
  return {
    /** Returns at most `limit` notices of a kind before the id `before`, newest first. */
    list: (kind: NoticeKind, before: number, limit: number): NoticeRow[] =>
      page.all({ kind, last: before, limit }),
  }
}
