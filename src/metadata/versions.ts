import { eq, sql } from 'drizzle-orm'
import { type Condition, holds } from '../domain/condition.ts'
import { registryError } from '../oci/error.ts'
import type { Db } from './database.ts'
import { total } from './schema.ts'
import { statement } from './statement.ts'

/** Returns the version that the call of the writer at hand gives to everything that it changes. */
export type VersionOfCall = () => number

/**
 * The versions of a database. None is given by two calls, so a resource that is made anew never has one of its
 * predecessor's.
 */
export function versions(db: Db): { begin: () => void; ofCall: VersionOfCall } {
  const next = statement(db, {}, () =>
    db
      .update(total)
      .set({ value: sql`${total.value} + 1` })
      .where(eq(total.name, 'version'))
      .returning({ value: total.value }),
  )
  let taken: number | undefined
  return {
    /** Begins a call, in a savepoint of its own: what an earlier one took is rolled back with it, or stays its own. */
    begin() {
      taken = undefined
    },
    ofCall() {
      taken ??= next.get({}).value
      return taken
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
