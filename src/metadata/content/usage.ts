import { and, eq, isNull, type Placeholder, type SQL, sql } from 'drizzle-orm'
import type { SQLiteColumn } from 'drizzle-orm/sqlite-core'
import { dayOf } from '../../domain/day.ts'
import { type Digest, digestToBytes } from '../../oci/digest.ts'
import type { RepositoryName, Tag } from '../../oci/reference.ts'
import type { Db } from '../database.ts'
import { repository, tag } from '../schema/schema.ts'
import { number, optional, statement, text } from '../statement.ts'
import type { FindManifest } from './manifests/manifest-rows.ts'
import { pullCounter } from './pulls.ts'

/** How many tags a pull by digest counts as a use of, and how many manifests that list the digest are examined. */
const TAGS_USED_MAX = 100
const MANIFESTS_USED_MAX = 100

/** How often an account pulled from a repository, by one tag or by digest, and how often it was pushed to. */
export interface UsageEntry {
  repository: RepositoryName
  tag: Tag | undefined
  /** What was requested by digest. Undefined for requests by tag, and for pushes. */
  digest: Digest | undefined
  /** Undefined for anonymous, and for pushes. */
  account: string | undefined
  pulls: number
  pushes: number
  /**
   * Milliseconds since 1970. Also set by a HEAD, which is not a pull, because a client that has the image sends only
   * that.
   */
  lastPulledAt: number | undefined
  lastPushedAt: number | undefined
}

/** Writes of counters, for one call of the writer. */
export function usageWrites(db: Db, findManifest: FindManifest) {
  const addToRepository = statement(
    db,
    {
      repository: text,
      pulls: number,
      pushes: number,
      lastPulledAt: optional(number),
      lastPushedAt: optional(number),
    },
    (used) =>
      db
        .update(repository)
        .set({
          pulls: sql`${repository.pulls} + ${used.pulls}`,
          pushes: sql`${repository.pushes} + ${used.pushes}`,
          lastPulledAt: newer(repository.lastPulledAt, used.lastPulledAt),
          lastPushedAt: newer(repository.lastPushedAt, used.lastPushedAt),
        })
        .where(and(eq(repository.name, used.repository), isNull(repository.deletedAt)))
        .returning({ id: repository.id }),
  )
  const addToTag = statement(
    db,
    { repositoryId: number, tag: text, pulls: number, lastPulledAt: number },
    (used) =>
      db
        .update(tag)
        .set({
          pulls: sql`${tag.pulls} + ${used.pulls}`,
          lastPulledAt: newer(tag.lastPulledAt, used.lastPulledAt),
        })
        .where(and(eq(tag.repositoryId, used.repositoryId), eq(tag.name, used.tag))),
  )
  const useTags = tagsInUse(db)
  const countPulls = pullCounter(db)
  return {
    /**
     * Adds to the counters of repositories and tags, and to the pulls by day. Skips repositories that no longer
     * exist.
     */
    addUsage({ entries }: { entries: UsageEntry[] }): void {
      const addPulls = countPulls()
      for (const { repository, tag, digest, account, pulls, pushes, ...last } of entries) {
        const { lastPulledAt = null, lastPushedAt = null } = last
        const row = addToRepository.get({ repository, pulls, pushes, lastPulledAt, lastPushedAt })
        if (row === undefined || lastPulledAt === null) continue
        const repositoryId = row.id
        if (tag !== undefined) addToTag.run({ repositoryId, tag, pulls, lastPulledAt })
        const id = digest && findManifest(repositoryId, digestToBytes(digest))?.id
        if (id !== undefined) useTags(id, lastPulledAt)
        if (pulls > 0)
          addPulls({ repositoryId, tag: tag ?? '', account: account ?? '', day: dayOf(lastPulledAt), pulls })
      }
    },
  }
}

/** Returns the newer of two times, each of which may be null, because entries are not ordered by time. */
function newer(known: SQLiteColumn, used: Placeholder): SQL {
  return sql`max(coalesce(${known}, ${used}), coalesce(${used}, ${known}))`
}

/**
 * Refreshes the last pull of the tags at a manifest, and at the indexes that list it, so that retention does not
 * expire what is deployed by digest. Beyond the limit, no more tags need to be refreshed, because the refreshed ones
 * keep the manifest.
 */
function tagsInUse(db: Db) {
  const use = statement(
    db,
    { id: number, lastPulledAt: number, limit: number },
    ({ id, lastPulledAt, limit }) => sql<{ used: number }>`
      update tag set last_pulled_at = max(coalesce(last_pulled_at, 0), ${lastPulledAt})
      where rowid in (select rowid from tag where manifest_id = ${id} limit ${limit}) returning 1 as used`,
  )
  const indexes = statement(
    db,
    { id: number, limit: number },
    ({ id, limit }) => sql<{ id: number }>`
      select r.manifest_id as id from manifest m
      join manifest_reference r on r.digest = m.digest and r.repository_id = m.repository_id and r.role = 'child'
      where m.id = ${id} limit ${limit}`,
  )
  return (manifestId: number, lastPulledAt: number): void => {
    const used = new Set([manifestId])
    let tags = TAGS_USED_MAX
    for (const id of used) {
      tags -= use.all({ id, lastPulledAt, limit: tags }).length
      if (tags === 0) return
      for (const index of indexes.all({ id, limit: MANIFESTS_USED_MAX - used.size })) used.add(index.id)
    }
  }
}
