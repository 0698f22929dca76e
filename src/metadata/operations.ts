import { accountWrites, groupWrites } from './accounts.ts'
import { trailWrites } from './audit.ts'
import { blobCollectionWrites } from './blob-collection.ts'
import { blobWrites } from './blobs.ts'
import { collectionWrites } from './collection.ts'
import { conversionWrites } from './conversions.ts'
import { credentialWrites, installationWrites } from './credentials.ts'
import type { Db } from './database.ts'
import { grantWrites } from './grants.ts'
import { manifestRestores } from './manifest-restores.ts'
import { manifestWrites } from './manifest-writes.ts'
import { renewalWrites } from './renewals.ts'
import { repositoryRestores, repositoryWrites } from './repository-writes.ts'
import { rewinds } from './rewind.ts'
import { tagRestores } from './tag-restores.ts'
import { tagWrites } from './tag-writes.ts'
import { usageWrites } from './usage.ts'

/**
 * Every write, by name. The writer's thread makes them once, and runs each call in a savepoint of its own.
 * One that answers `stale` has changed something that may be remembered: content, or who may do what.
 */
export function operations(db: Db) {
  return {
    ...blobWrites(db),
    ...manifestWrites(db),
    ...manifestRestores(db),
    ...tagWrites(db),
    ...tagRestores(db),
    ...repositoryWrites(db),
    ...repositoryRestores(db),
    ...rewinds(db),
    ...usageWrites(db),
    ...collectionWrites(db),
    ...blobCollectionWrites(db),
    ...renewalWrites(db),
    ...conversionWrites(db),
    ...accountWrites(db),
    ...groupWrites(db),
    ...credentialWrites(db),
    ...installationWrites(db),
    ...grantWrites(db),
    ...trailWrites(db),
  }
}

export type Operations = ReturnType<typeof operations>
export type OperationName = keyof Operations

/** What may be remembered of the database, and a write may have made stale. */
export type Stale = 'content' | 'accounts' | 'signing-keys'

/** What is not acknowledged as stored: committed without a sync. A crash of the process loses none of it. */
export const VOLATILE: ReadonlySet<OperationName> = new Set<OperationName>([
  'touchCredentials',
  'removeExpired',
  'noteRefusal',
  'addUsage',
  'renewBlob',
  'renewManifest',
])
