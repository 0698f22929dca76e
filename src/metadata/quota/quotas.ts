import { asc, eq, ne, sql } from 'drizzle-orm'
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
import { namespaceUsage, quota } from '../schema/quota-schema.ts'
import type { Parts } from '../stale.ts'
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
  const find = ({ namespace, condition }: QuotaWrite) => {
    const row = db.select().from(quota).where(eq(quota.namespace, namespace)).get()
    checkVersion(`the quota of ${namespace}`, row?.version, condition)
    return row
  }
  return {
    /** Sets the limits of a namespace. Returns whether it had none. */
    putQuota(call: QuotaWrite & QuotaLimits): boolean {
      const { caller, at, namespace, bytesMax = null, repositoriesMax = null, tagsMax = null } = call
      const row = find(call)
      const counted = db.select({ count: sql<number>`count(*)` }).from(quota).get()
      if (row === undefined && (counted?.count ?? 0) >= QUOTAS_MAX)
        throw registryError('CONFLICT', `there are ${QUOTAS_MAX} quotas: remove some`)
      const set = { bytesMax, repositoriesMax, tagsMax, version: version() }
      db.insert(quota)
        .values({ namespace, ...set })
        .onConflictDoUpdate({ target: quota.namespace, set })
        .run()
      const detail = { bytesMax: `${bytesMax}`, repositoriesMax: `${repositoriesMax}`, tagsMax: `${tagsMax}` }
      recordAct({ action: 'quota.set', target: namespace, detail }, caller, at)
      return row === undefined
    },

    /** Throws NOT_FOUND. */
    removeQuota(call: QuotaWrite): void {
      const { caller, at, namespace } = call
      if (find(call) === undefined) throw registryError('NOT_FOUND', `there is no quota of ${namespace}`)
      db.delete(quota).where(eq(quota.namespace, namespace)).run()
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
  return {
    /** Returns at most `limit` namespaces, the largest first. */
    largest: (limit: number): string[] =>
      db
        .select({ namespace: namespaceUsage.namespace })
        .from(namespaceUsage)
        .where(ne(namespaceUsage.namespace, WHOLE_SERVER))
        .orderBy(sql`blob_bytes + manifest_bytes desc`)
        .limit(limit)
        .all()
        .map(({ namespace }) => namespace),

    list: (): QuotaRow[] => db.select().from(quota).orderBy(asc(quota.namespace)).limit(QUOTAS_MAX).all(),
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
