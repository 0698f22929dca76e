import { asc, eq, sql } from 'drizzle-orm'
import type { Write } from '../../domain/access/caller.ts'
import { registryError } from '../../oci/error.ts'
import type { RecordAct } from '../accounts/audit.ts'
import type { Db } from '../database.ts'
import { retentionPolicy } from '../schema/retention-schema.ts'
import { checkVersion, type VersionOfCall } from '../versions.ts'

/** Policies of one data folder that were set with the API. */
const POLICIES_MAX = 100

/** A policy that was set with the API. */
export type PolicyRow = typeof retentionPolicy.$inferSelect

interface PolicyWrite extends Write {
  name: string
}

/** Changes of retention policies, each for one call of the writer. They throw PRECONDITION_FAILED. */
export function policyWrites(
  db: Db,
  { recordAct, version }: { recordAct: RecordAct; version: VersionOfCall },
) {
  const find = ({ name, condition }: PolicyWrite) => {
    const row = db.select().from(retentionPolicy).where(eq(retentionPolicy.name, name)).get()
    checkVersion(`retention policy ${name}`, row?.version, condition)
    return row
  }
  const refuseTooMany = () => {
    const counted = db.select({ count: sql<number>`count(*)` }).from(retentionPolicy).get()
    if ((counted?.count ?? 0) < POLICIES_MAX) return
    throw registryError('CONFLICT', `there are ${POLICIES_MAX} retention policies: remove some`)
  }
  return {
    /** Adds or replaces a policy. Returns whether it is new. `settings` is a JSON object. */
    putPolicy(call: PolicyWrite & { settings: string }): boolean {
      const { caller, at, name, settings } = call
      const row = find(call)
      const set = { settings, changedAt: at, version: version() }
      if (row === undefined) {
        refuseTooMany()
        db.insert(retentionPolicy)
          .values({ name, createdAt: at, ...set })
          .run()
      } else {
        db.update(retentionPolicy).set(set).where(eq(retentionPolicy.name, name)).run()
      }
      const action = row === undefined ? 'retention.create' : 'retention.change'
      recordAct({ action, target: name, detail: { settings } }, caller, at)
      return row === undefined
    },

    /** Throws NOT_FOUND. */
    removePolicy(call: PolicyWrite): void {
      const { caller, at, name } = call
      if (find(call) === undefined) throw registryError('NOT_FOUND', `there is no retention policy ${name}`)
      db.delete(retentionPolicy).where(eq(retentionPolicy.name, name)).run()
      recordAct({ action: 'retention.delete', target: name }, caller, at)
    },
  }
}

/** Reads of the policies that were set with the API. */
export function policyReads(db: Db) {
  return {
    list: (): PolicyRow[] =>
      db.select().from(retentionPolicy).orderBy(asc(retentionPolicy.name)).limit(POLICIES_MAX).all(),
  }
}
