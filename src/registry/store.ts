import type { Db } from '../database/database.ts'
import { totals, totalWrites, type VersionOfCall } from '../database/operation.ts'
import { outboxWrites } from '../database/outbox.ts'
import { registryError } from '../oci/error.ts'
import { blobBytesReads, blobLinks, blobReads, blobSources } from './blobs.ts'
import { conversionReads, labelReads, manifestReads, referrerReads, tagReads } from './content-reads.ts'
import { labelRows, manifestFinder, manifestRows, reachability, referenceRows } from './manifests.ts'
import { pullReads } from './pull-counts.ts'
import { repositoryReads, repositoryRows } from './repositories.ts'
import { newestTime, tagLines } from './tag-history.ts'
import { immutability, type TagWrite, tagMoves, tagRows } from './tags.ts'

/*
 * The door to the tables of the registry, for the reads and writes of other capabilities: `rows` for writes, and the
 * types and conditions of rows.
 */

declare module '../database/metadata.ts' {
  interface Reads extends ReturnType<typeof registryReads> {}
}

export type { LinkedBlob, StoredBlob } from './blobs.ts'
export { isTagAt, type ManifestRow, type TagQuery, type TagRow } from './content-reads.ts'
export { isReached } from './manifests.ts'
export type { PullKey } from './pull-counts.ts'
export { type NamedRow, pullOnly, type RepositoryReads, type RepositorySettings } from './repositories.ts'
export type { PastTag } from './tag-history.ts'
export { immutability, type TagWrite } from './tags.ts'

/** What the writes of all capabilities share, created once with its statements. */
export type Rows = ReturnType<typeof rows>

/**
 * Creates the rows of a database for its writer.
 *
 * @param count counts a cached repository that has become a local one
 */
export function rows(db: Db, version: VersionOfCall, count: (repositoryId: number) => void) {
  const recordEvent = outboxWrites(db)
  const findManifest = manifestFinder(db)
  const reach = reachability(db, version)
  const lines = tagLines(db)
  const tags = tagRows(db, { recordEvent, lines, reach, version })
  const immutable = immutability(db)
  const moves = tagMoves(tags, immutable)
  const repositories = repositoryRows(db, version, count)
  return {
    version,
    recordEvent,
    /** Sums that triggers keep current, and values that no trigger updates. */
    total: totals(db),
    setTotal: totalWrites(db),
    repositories,
    findManifest,
    manifests: manifestRows(db, { find: findManifest, version }),
    references: referenceRows(db),
    labels: labelRows(db),
    /** When manifests became garbage. */
    reach,
    linkBlob: blobLinks(db),
    /** Tags, whatever the repository's rules say. */
    tags,
    /** Tags, within the repository's rules of immutability. */
    moves,
    immutable,
    lines,

    /**
     * Begins every write of a tag: checks the condition and returns the repository's id. Throws NAME_UNKNOWN, or DENIED
     * (412).
     */
    beginTagWrite(call: TagWrite): number {
      const repositoryId = repositories.find(call.repository)
      if (repositoryId === undefined)
        throw registryError('NAME_UNKNOWN', `there is no repository ${call.repository}`)
      moves.check(repositoryId, call.tag, call)
      return repositoryId
    },
  }
}

/** Creates the reads of the registry's tables. */
export function registryReads(db: Db) {
  const repositories = repositoryReads(db)
  const blobs = blobReads(db)
  return {
    repositories,
    manifests: manifestReads(db),
    conversions: conversionReads(db),
    labels: labelReads(db, totals(db)),
    referrers: referrerReads(db),
    tags: tagReads(db, repositories),
    newestTime: newestTime(db),
    blobs: { ...blobs, ...blobSources(db, repositories, blobs) },
    blobBytes: blobBytesReads(db),
    pulls: pullReads(db, repositories),
  }
}

const DAY_MS = 86_400_000

/** How long garbage is kept. */
export interface GarbageWindow {
  /** How long content is protected that an in-progress push may reference, in milliseconds. */
  graceMs: number
  /** How long deletions can be undone, in milliseconds. At least `graceMs`. */
  windowMs: number
  /**
   * Days after which a manifest that never had a tag is deleted, unless its repository says otherwise. 0 means never.
   */
  untaggedDays: number
}

/** Returns the window of these settings. It is at least as long as the grace period of pushes. */
export function garbageWindowOf({
  graceSeconds,
  windowSeconds,
  untaggedDays,
}: {
  graceSeconds: number
  windowSeconds: number
  untaggedDays: number
}): GarbageWindow {
  const graceMs = graceSeconds * 1000
  return { graceMs, windowMs: Math.max(graceMs, windowSeconds * 1000), untaggedDays }
}

/**
 * Returns how long a manifest that never had a tag is kept, in milliseconds, or undefined if it is kept forever.
 *
 * @param own the repository's own setting
 */
export function untaggedMs({ graceMs, untaggedDays }: GarbageWindow, own: number | null): number | undefined {
  const days = own ?? untaggedDays
  return days === 0 ? undefined : Math.max(days * DAY_MS, graceMs)
}
