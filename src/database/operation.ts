import { eq, sql } from 'drizzle-orm'
import { type Condition, holds, type Rule } from '../access/access.ts'
import { registryError } from '../oci/error.ts'
import type { Db } from './database.ts'
import { total } from './schema.ts'
import { putInto, selectBy, statement } from './statement.ts'

/** Returns the version that the current call of the writer gives to everything that it changes. */
export type VersionOfCall = () => number

/** How many versions are reserved at once. Recording each one would cost a push another page. */
const RESERVED = 1000

export type Versions = ReturnType<typeof versions>

/**
 * Assigns the versions of resources. Every call gets a new one, so a recreated resource never has a version of its
 * predecessor. Versions that are reserved but unused when the process ends are skipped.
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
    /** Drops the reserved versions, because their commit failed. */
    reset(): void {
      last = -1
    },
  }
}

/**
 * Throws PRECONDITION_FAILED unless the resource meets the request's condition, in the transaction that changes it.
 *
 * @param resource its name in the message, such as `user alice`
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

/** Says why the condition failed, for the message. */
function unexpected(version: number | undefined, { ifMatch }: Condition): string {
  if (version === undefined) return 'does not exist'
  return ifMatch === undefined ? 'already exists' : `has changed: its entity tag is now "${version}"`
}

/**
 * Cached data that a write has made stale. For accounts and grants, the write names them, so that one account's
 * changes do not evict the cached sign-ins of others.
 */
export interface StaleParts {
  content: object
  accounts: AccountsChanged
  grants: GrantChanged
  'signing-keys': object
}

export type Stale = keyof StaleParts

/** The result of a write that changed or hid content. */
export const CONTENT_STALE = { stale: 'content' } as const

/** A write in parts. After each part, its changes are committed, and the cached data that it yields is dropped. */
export type Parts<Reply> = Generator<{ stale: Stale | undefined }, Reply>

/** The ids of accounts that have changed, or whose permissions have, except by grants. */
export interface AccountsChanged {
  accounts: readonly number[]
}

/** A grant of a subject was created, changed or removed. */
export interface GrantChanged {
  /** The subject, as in the table of grants. */
  subject: string
  rule?: Rule
  /** The pattern of the grant that was removed. */
  removed?: string
}

/** The time limit of a part of a long write, so that other writes do not wait for it. */
const PART_MS_MAX = 4

/** Begins a part. Returns a function that reports whether its time is over. */
export function partTime(): () => boolean {
  const end = performance.now() + PART_MS_MAX
  return () => performance.now() >= end
}

/**
 * Processes rows until the part's time is over, but at least one, so that each part makes progress even if the thread
 * was not running meanwhile. Returns how many were processed.
 */
export function within<T>(rows: T[], work: (row: T) => unknown, isOver = partTime()): number {
  let done = 0
  for (const row of rows) {
    work(row)
    done++
    if (isOver()) break
  }
  return done
}

/** Reads a sum that triggers keep current; 0 if there is none of this name. */
export type ReadTotal = (name: TotalName) => number

type TotalName =
  | 'blob.count'
  | 'blob.bytes'
  | 'cache.count'
  | 'cache.bytes'
  | 'cache.manifest_bytes'
  | 'labels.unread'
  | 'pulls.since'
  | 'quota.counted'
  | 'retention.event'
  | 'retention.policies'
  | 'scrub.blob'
  | 'scrub.manifest'
  | 'scrub.started'

/** Creates the reader of totals. */
export function totals(db: Db): ReadTotal {
  const byName = selectBy(db, total, 'name')
  return (name) => byName.get({ name })?.value ?? 0
}

/** Writes a value that no trigger updates. */
export type WriteTotal = (name: TotalName, value: number) => void

/** Creates the writer of totals. */
export function totalWrites(db: Db): WriteTotal {
  const put = putInto(db, total)
  return (name, value) => put.run({ name, value })
}
