import { sql } from 'drizzle-orm'
import type { Write } from '../../domain/access/caller.ts'
import type { EventType } from '../../domain/events.ts'
import {
  checkQuota,
  namespaceOf,
  type Quota,
  type QuotaLimits,
  quotasFor,
  WHOLE_SERVER,
} from '../../domain/quota.ts'
import { registryError } from '../../oci/error.ts'
import type { RepositoryName } from '../../oci/reference.ts'
import type { RecordAct } from '../accounts/audit.ts'
import type { Db } from '../database.ts'
import type { RecordEvent } from '../events.ts'
import { firstRows } from '../first-rows.ts'
import { deleteBy, pageBy, putInto, selectBy } from '../rows.ts'
import { quota } from '../schema/quota-schema.ts'
import type { Parts } from '../stale.ts'
import { number, statement, text } from '../statement.ts'
import { checkVersion, type VersionOfCall } from '../versions.ts'
import type { ReadUsage } from './usage.ts'

/** Quotas of one data folder that were set with the API. */
const QUOTAS_MAX = 1000

/** A quota that was set with the API; null is no limit. */
export type QuotaRow = typeof quota.$inferSelect

interface QuotaWrite extends Write {
  namespace: string
}

/** Changes of quotas, each for one call of the writer. They throw PRECONDITION_FAILED. */
export function quotaWrites(
  db: Db,
  { recordAct, version }: { recordAct: RecordAct; version: VersionOfCall },
) {
  const rows = selectBy(db, quota, 'namespace')
  const all = pageBy(db, quota, ['namespace', 'asc'])
  const put = putInto(db, quota)
  const remove = deleteBy(db, quota, 'namespace')
  const find = ({ namespace, condition }: QuotaWrite) => {
    const row = rows.get({ namespace })
    checkVersion(`the quota of ${namespace}`, row?.version, condition)
    return row
  }
  return {
    /** Sets the limits of a namespace. Returns whether it had none. */
    putQuota(call: QuotaWrite & QuotaLimits): boolean {
      const { caller, at, namespace, bytesMax = null, repositoriesMax = null, tagsMax = null } = call
      const row = find(call)
      if (row === undefined && all.all({ last: '', limit: QUOTAS_MAX }).length >= QUOTAS_MAX)
        throw registryError('CONFLICT', `there are ${QUOTAS_MAX} quotas: remove some`)
      put.run({ namespace, bytesMax, repositoriesMax, tagsMax, version: version() })
      const detail = { bytesMax: `${bytesMax}`, repositoriesMax: `${repositoriesMax}`, tagsMax: `${tagsMax}` }
      recordAct({ action: 'quota.set', target: namespace, detail }, caller, at)
      return row === undefined
    },

    /** Throws NOT_FOUND. */
    removeQuota(call: QuotaWrite): void {
      const { caller, at, namespace } = call
      if (find(call) === undefined) throw registryError('NOT_FOUND', `there is no quota of ${namespace}`)
      remove.run({ namespace })
      recordAct({ action: 'quota.delete', target: namespace }, caller, at)
    },
  }
}

/** Records that a quota is almost full. */
export function quotaEvents(recordEvent: RecordEvent) {
  return {
    noteQuota({ caller, at, type, namespace }: Write & { type: QuotaEvent; namespace: string }): void {
      recordEvent({ type, repository: namespace as RepositoryName }, caller, at)
    },
  }
}

type QuotaEvent = Extract<EventType, `quota.${string}`>

/** Reads of the quotas that were set with the API. */
export function quotaReads(db: Db) {
  const all = pageBy(db, quota, ['namespace', 'asc'])
  interface Usage {
    namespace: string
    bytes: number
  }
  const usages = statement(
    db,
    { last: text, limit: number },
    ({
      last,
      limit,
    }) => sql<Usage>`select namespace, blob_bytes + manifest_bytes as bytes from namespace_usage
      where namespace > ${last} order by namespace limit ${limit}`,
  )
  // The row of the whole server comes before all others.
  const read = (last: Usage | undefined, limit: number) =>
    usages.all({ last: last?.namespace ?? WHOLE_SERVER, limit })
  return {
    /** Returns at most `limit` namespaces, the largest first. */
    async largest(limit: number): Promise<string[]> {
      const rows = await firstRows(read, (a, b) => b.bytes - a.bytes, limit)
      return rows.map(({ namespace }) => namespace)
    },

    list: (): QuotaRow[] => all.all({ last: '', limit: QUOTAS_MAX }),
  }
}

/** Holds the quotas in the writer's thread, and refuses writes that exceed one. */
export function quotaLimits(usageOf: ReadUsage) {
  let quotas: readonly Quota[] = []
  /** Returns a function that throws DENIED if what the namespace holds has since grown beyond a quota. */
  const watch = (repository: RepositoryName): (() => void) => {
    const watched = quotasFor(quotas, namespaceOf(repository)).map((quota) => {
      return { quota, before: usageOf(quota.counted) }
    })
    return () => {
      for (const { quota, before } of watched) checkQuota(quota, before, usageOf(quota.counted))
    }
  }
  return {
    set(all: readonly Quota[]): void {
      quotas = all
    },

    /** Makes an operation throw DENIED, and change nothing, if it exceeds a quota. */
    limited<A extends { repository: RepositoryName }, R>(operation: (call: A) => R): (call: A) => R {
      return (call) => {
        if (quotas.length === 0) return operation(call)
        const check = watch(call.repository)
        const answer = operation(call)
        check()
        return answer
      }
    },

    /** Does the same for an operation in parts. The parts before the one that exceeds a quota stay committed. */
    limitedParts<A extends { repository: RepositoryName }, R>(
      operation: (call: A) => Parts<R>,
    ): (call: A) => Parts<R> {
      return function* (call) {
        for (const parts = operation(call); ; ) {
          const check = watch(call.repository)
          const part = parts.next()
          check()
          if (part.done) return part.value
          yield part.value
        }
      }
    },
  }
}
