import { desc, lt, lte } from 'drizzle-orm'
import type { Caller } from '../../domain/caller.ts'
import { audit } from '../account-schema.ts'
import type { Db } from '../database.ts'

/** The trail keeps this many acts; older ones go when new ones come. */
const ACTS_MAX = 1_000_000

export type AuditRow = typeof audit.$inferSelect

/** An act on accounts or grants: its name, what it was done to, and what else is worth knowing, never a secret. */
export interface Act {
  action: string
  target: string
  detail?: ActDetail
}

/** What was done, by its parts; those that are undefined are left out. */
export type ActDetail = Record<string, string | number | boolean | string[] | null | undefined>

/** Writes an act into the trail, in the transaction of what it did. */
export type TellAct = (act: Act, caller: Caller, at: number) => void

export function auditWrites(db: Db): TellAct {
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
    if (id % 1000 === 0)
      db.delete(audit)
        .where(lte(audit.id, id - ACTS_MAX))
        .run()
  }
}

/** Writes into the trail what changes nothing else here. */
export function trailWrites(tell: TellAct) {
  return {
    /** Notes an act on something that is not in the database. */
    noteAct({ caller, at, ...act }: Act & { caller: Caller; at: number }): void {
      tell(act, caller, at)
    },
  }
}

/** Reads of the trail. */
export function auditReads(db: Db) {
  return {
    /** At most `limit` acts before the id `before`, newest first. */
    list: (before: number, limit: number): AuditRow[] =>
      db.select().from(audit).where(lt(audit.id, before)).orderBy(desc(audit.id)).limit(limit).all(),
  }
}
