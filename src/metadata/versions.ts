import { eq, sql } from 'drizzle-orm'
import { type Condition, holds } from '../domain/condition.ts'
import { registryError } from '../oci/error.ts'
import type { Db } from './database.ts'
import { total } from './schema.ts'
import { statement } from './statement.ts'

/** Gives the next version, in the transaction of a change. */
export type NextVersion = () => number

/**
 * No version is given twice in a database, so a resource that is made anew never has one of its predecessor's.
 */
export function versions(db: Db): NextVersion {
  const next = statement(db, {}, () =>
    db
      .update(total)
      .set({ value: sql`${total.value} + 1` })
      .where(eq(total.name, 'version'))
      .returning({ value: total.value }),
  )
  return () => next.get({}).value
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
  const state = version === undefined ? 'does not exist' : `exists, with the entity tag "${version}"`
  throw registryError('PRECONDITION_FAILED', `${resource} ${state}, which the request's condition excludes`, {
    ...(version !== undefined && { headers: { etag: `"${version}"` } }),
  })
}
