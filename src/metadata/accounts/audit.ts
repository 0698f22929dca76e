import { and, desc, eq, lt, lte } from 'drizzle-orm'
import type { Caller } from '../../domain/access/caller.ts'
import type { Db } from '../database.ts'
import { audit } from '../schema/account-schema.ts'

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
  const trim = (id: number, account: string | undefined) => {
    db.delete(audit)
      .where(lte(audit.id, id - limits.all))
      .run()
    if (account === undefined) return
    const isOwn = eq(audit.account, account)
    const oldest = db
      .select({ id: audit.id })
      .from(audit)
      .where(isOwn)
      .orderBy(desc(audit.id))
      .limit(1)
      .offset(limits.ofAccount)
      .get()
    if (oldest === undefined) return
    db.delete(audit)
      .where(and(isOwn, lte(audit.id, oldest.id)))
      .run()
  }
  return (act, caller, at) => {
    const { id } = db
      .insert(audit)
      .values({
        at,
        action: act.action,
        target: act.target,
        detail: JSON.stringify(act.detail ?? {}),
        account: caller.account ?? null,
        credential: caller.credential ?? null,
        address: caller.address,
        requestId: caller.requestId,
      })
      .returning({ id: audit.id })
      .get()
    if (id % limits.trimmed === 0) trim(id, caller.account)
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
  return {
    /** Returns at most `limit` acts before the id `before`, newest first. */
    list: (before: number, limit: number): AuditRow[] =>
      db.select().from(audit).where(lt(audit.id, before)).orderBy(desc(audit.id)).limit(limit).all(),
  }
}
