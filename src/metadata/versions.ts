import { eq, sql } from 'drizzle-orm'
import { type Condition, holds } from '../domain/condition.ts'
import { registryError } from '../oci/error.ts'
import type { Db } from './database.ts'
import { total } from './schema.ts'
import { statement } from './statement.ts'

/** Returns the version that the call of the writer at hand gives to everything that it changes. */
export type VersionOfCall = () => number

/** Versions that are reserved at once: to write each down would cost a push one page more. */
const RESERVED = 1000

export type Versions = ReturnType<typeof versions>

/**
 * The versions of a database. None is given by two calls, so a resource that is made anew never has one of its
 * predecessor's. Those that are reserved when the process ends are never given.
 */
export function versions(db: Db) {
  const reserve = statement(db, {}, () =>
    db
      .update(total)
      .set({ value: sql`${total.value} + ${RESERVED}` })
      .where(eq(total.name, 'version'))
      .returning({ value: total.value }),
  )
  let next = 0
  let last = -1
  let taken: number | undefined
  return {
    /** Begins a call, or its next part. */
    begin(): void {
      taken = undefined
      if (next <= last) return
      last = reserve.get({}).value
      next = last - RESERVED + 1
    },
    ofCall(): number {
      taken ??= next++
      return taken
    },
    /** Forgets what was reserved, for its commit has failed. */
    reset(): void {
      last = -1
    },
  }
}

/**
 * Throws PRECONDITION_FAILED unless the resource is as the request expects, in the transaction that changes it.
 *
 * @param resource names it in the message, as `user alice`
 * @param version undefined when it does not exist
 */
export function checkVersion(
  resource: string,
  version: number | undefined,
  condition: Condition | undefined,
): void {
  if (condition === undefined || holds(condition, version?.toString())) return
  throw registryError('PRECONDITION_FAILED', `${resource} ${unexpected(version, condition)}`, {
    ...(version !== undefined && { headers: { etag: `"${version}"` } }),
  })
}

/** What a condition did not expect, for the message. */
function unexpected(version: number | undefined, { ifMatch }: Condition): string {
  if (version === undefined) return 'does not exist'
  return ifMatch === undefined ? 'already exists' : `has changed: its entity tag is now "${version}"`
}
