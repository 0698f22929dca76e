import type { Write } from '../../domain/access/caller.ts'
import { registryError } from '../../oci/error.ts'
import type { RecordAct } from '../accounts/audit.ts'
import type { Db } from '../database.ts'
import { deleteBy, pageBy, putInto, selectBy } from '../rows.ts'
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
  const rows = selectBy(db, retentionPolicy, 'name')
  const all = pageBy(db, retentionPolicy, ['name', 'asc'])
  const put = putInto(db, retentionPolicy)
  const remove = deleteBy(db, retentionPolicy, 'name')
  const find = ({ name, condition }: PolicyWrite) => {
    const row = rows.get({ name })
    checkVersion(`retention policy ${name}`, row?.version, condition)
    return row
  }
  const refuseTooMany = () => {
    if (all.all({ last: '', limit: POLICIES_MAX }).length < POLICIES_MAX) return
    throw registryError('CONFLICT', `there are ${POLICIES_MAX} retention policies: remove some`)
  }
  return {
    /** Adds or replaces a policy. Returns whether it is new. `settings` is a JSON object. */
    putPolicy(call: PolicyWrite & { settings: string }): boolean {
      const { caller, at, name, settings } = call
      const row = find(call)
      if (row === undefined) refuseTooMany()
      put.run({ name, settings, createdAt: row?.createdAt ?? at, changedAt: at, version: version() })
      const action = row === undefined ? 'retention.create' : 'retention.change'
      recordAct({ action, target: name, detail: { settings } }, caller, at)
      return row === undefined
    },

    /** Throws NOT_FOUND. */
    removePolicy(call: PolicyWrite): void {
      const { caller, at, name } = call
      if (find(call) === undefined) throw registryError('NOT_FOUND', `there is no retention policy ${name}`)
      remove.run({ name })
      recordAct({ action: 'retention.delete', target: name }, caller, at)
    },
  }
}

/** Reads of the policies that were set with the API. */
export function policyReads(db: Db) {
  const all = pageBy(db, retentionPolicy, ['name', 'asc'])
  return { list: (): PolicyRow[] => all.all({ last: '', limit: POLICIES_MAX }) }
}
