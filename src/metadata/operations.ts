import { accountWrites, groupWrites } from './accounts/accounts.ts'
import { trailWrites } from './accounts/audit.ts'
import { credentialWrites, installationWrites } from './accounts/credentials.ts'
import { grantWrites } from './accounts/grants.ts'
import { cacheWrites } from './cache/cached-content.ts'
import { evictionWrites } from './cache/eviction.ts'
import { blobWrites } from './content/blobs.ts'
import { conversionWrites } from './content/conversions.ts'
import { manifestWrites } from './content/manifest-writes.ts'
import { repositoryRestores, repositoryWrites } from './content/repository-writes.ts'
import { tagWrites } from './content/tag-writes.ts'
import { usageWrites } from './content/usage.ts'
import type { Db } from './database.ts'
import { blobCollectionWrites } from './garbage/blob-collection.ts'
import { collectionWrites } from './garbage/collection.ts'
import { renewalWrites } from './garbage/renewals.ts'
import { manifestRestores } from './time-machine/manifest-restores.ts'
import { rewinds } from './time-machine/rewind.ts'
import { tagRestores } from './time-machine/tag-restores.ts'

/** Every write, in groups. What a start needs comes first, and what restores last. */
export const WRITES = [
  installationWrites,
  accountWrites,
  groupWrites,
  credentialWrites,
  grantWrites,
  trailWrites,
  usageWrites,
  blobWrites,
  renewalWrites,
  manifestWrites,
  tagWrites,
  cacheWrites,
  evictionWrites,
  conversionWrites,
  repositoryWrites,
  collectionWrites,
  blobCollectionWrites,
  manifestRestores,
  tagRestores,
  repositoryRestores,
  rewinds,
] as const

/**
 * Every write, by name. The writer's thread runs each call in a savepoint of its own.
 * One that answers `stale` has changed something that may be remembered: content, or who may do what.
 */
export type Operations = Together<ReturnType<(typeof WRITES)[number]>>
export type OperationName = keyof Operations

/** What is not acknowledged as stored: committed without a sync. A crash of the process loses none of it. */
export const VOLATILE: ReadonlySet<OperationName> = new Set<OperationName>([
  'touchCredentials',
  'removeExpired',
  'noteRefusal',
  'addUsage',
  'renewBlob',
  'renewManifest',
  'cacheManifest',
  'linkCached',
  'touchCached',
  'noteChecks',
])

type Together<T> = (T extends unknown ? (each: T) => void : never) extends (all: infer All) => void
  ? All
  : never

/** Finds writes by name. Groups are made, and so their statements prepared, only as far as one was asked for. */
export function operations(db: Db): <N extends OperationName>(name: N) => Operations[N] {
  const made: Partial<Operations> = {}
  const others = WRITES.values()
  return (name) => {
    for (;;) {
      const found = made[name]
      if (found !== undefined) return found
      const { value: writes } = others.next()
      if (writes === undefined) throw new Error(`there is no write ${name}`)
      Object.assign(made, writes(db))
    }
  }
}
