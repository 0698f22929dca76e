import { lte, sql } from 'drizzle-orm'
import type { Caller } from '../../domain/access/caller.ts'
import type { Db } from '../database.ts'
import { insertForId, pageBy } from '../rows.ts'
import { audit } from '../schema/account-schema.ts'
import { number, statement, text } from '../statement.ts'

/** How many acts the log keeps. New ones displace the oldest. */
export interface AuditLimits {
  all: number
  /** How many acts of one account the log keeps, so that acts in a loop do not displace those of others. */
  ofAccount: number
  /** After this many acts, surplus ones are deleted. */
  trimmed: number
}

const LIMITS: AuditLimits = { all: 1_000_000, ofAccount: 100_000, trimmed: 1000 }

export type AuditRow = typeof audit.$inferSelect

/** An act on accounts or grants: its name, its target and details, never a secret. */
export interface Act {
  action: string
  target: string
  detail?: ActDetail
}

/** Details of the act. Undefined ones are omitted. */
export type ActDetail = Record<string, string | number | boolean | string[] | null | undefined>

/** Adds an act to the audit log, in the transaction of the change. */
export type RecordAct = (act: Act, caller: Caller, at: number) => void

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

/** Reads of the audit log. */
export function auditReads(db: Db) {
  const page = pageBy(db, audit, ['id', 'desc'])
  return {
    /** Returns at most `limit` acts before the id `before`, newest first. */
    list: (before: number, limit: number): AuditRow[] => page.all({ last: before, limit }),
  }
}
