import { and, asc, eq, gt, lte, sql } from 'drizzle-orm'
import type { Caller } from '../access/access.ts'
import { accountAddress, audit, auditNotice } from '../database/account-schema.ts'
import type { Db } from '../database/database.ts'
import {
  deleteBy,
  insertForId,
  number,
  pageBy,
  putInto,
  selectBy,
  statement,
  text,
} from '../database/statement.ts'
import type { Act, Notice, NoticeKind, RecordAct } from './store.ts'

declare module '../database/metadata.ts' {
  interface Reads {
    audit: ReturnType<typeof auditReads>
    addresses: ReturnType<typeof addressReads>
  }
  interface Operations
    extends ReturnType<typeof auditActWrites>,
      ReturnType<typeof noticeWrites>,
      ReturnType<typeof addressWrites> {}
}

/**
 * How many acts the log keeps in all and of one account, so that acts in a loop do not displace those of others. Surplus
 * ones are deleted after every `trimmed` acts.
 */
const LIMITS = { all: 1_000_000, ofAccount: 100_000, trimmed: 1000 }

/** Returns the function that adds an act to the audit log, in the transaction of the change. */
export function auditWrites(db: Db, limits = LIMITS): RecordAct {
  const insert = insertForId(db, audit)
  const trim = statement(db, { id: number }, ({ id }) => db.delete(audit).where(lte(audit.id, id)))
  const trimAccount = statement(
    db,
    { account: text, kept: number },
    ({ account, kept }) => sql`delete from audit where account = ${account}
      and id <= (select id from audit where account = ${account} order by id desc limit 1 offset ${kept})`,
  )
  return ({ detail = {}, ...act }, caller, at) => {
    const { id } = insert.get({ ...caller, ...act, at, detail: JSON.stringify(detail) })
    if (id % limits.trimmed !== 0) return
    trim.run({ id: id - limits.all })
    if (caller.account !== undefined) trimAccount.run({ account: caller.account, kept: limits.ofAccount })
  }
}

/** Writes of acts that change nothing else in the database. */
export function auditActWrites(recordAct: RecordAct) {
  return {
    /** Records an act on something outside the database. */
    noteAct({ caller, at, ...act }: Act & { caller: Caller; at: number }): void {
      recordAct(act, caller, at)
    },
  }
}

/** Reads of the audit log. Each returns at most `limit` rows before the id `before`, newest first. */
export function auditReads(db: Db) {
  const acts = pageBy(db, audit, ['id', 'desc'])
  const notices = pageBy(db, auditNotice, ['id', 'desc'], 'kind')
  return {
    list: (before: number, limit: number) => acts.all({ last: before, limit }),
    notices: {
      list: (kind: NoticeKind, before: number, limit: number) => notices.all({ kind, last: before, limit }),
    },
  }
}

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

/** How many of the latest addresses of an account are remembered, and for how long. */
const ADDRESSES_MAX = 50
const REMEMBERED_MILLISECONDS = 90 * 86_400_000

/** Reads of where accounts have signed in. */
export function addressReads(db: Db) {
  const last = selectBy(db, accountAddress, 'accountId', 'address')
  return {
    /** Returns when an account last signed in from an address with its password, in milliseconds since 1970. */
    lastAt: (accountId: number, address: string): number | undefined =>
      last.get({ accountId, address })?.lastAt,
  }
}

/** Writes of where accounts have signed in. */
export function addressWrites(db: Db) {
  const put = putInto(db, accountAddress)
  const trim = statement(
    db,
    { accountId: number, before: number, kept: number },
    ({ accountId, before, kept }) => sql`delete from account_address where account_id = ${accountId}
      and last_at <= max(${before}, coalesce((select last_at from account_address
        where account_id = ${accountId} order by last_at desc limit 1 offset ${kept}), 0))`,
  )
  return {
    /** Records the address from which an account has signed in, and keeps only the latest ones. */
    addAddress({ accountId, address, at }: { accountId: number; address: string; at: number }): void {
      put.run({ accountId, address, lastAt: at })
      trim.run({ accountId, before: at - REMEMBERED_MILLISECONDS, kept: ADDRESSES_MAX })
    },
  }
}
