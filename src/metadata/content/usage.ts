import { and, eq, isNull, sql } from 'drizzle-orm'
import type { RepositoryName, Tag } from '../../oci/reference.ts'
import type { Db } from '../database.ts'
import { repository, tag } from '../schema.ts'
import { number, optional, statement, text } from '../statement.ts'

/** How often a repository, or one tag of it, was pulled and pushed since the last time that this was noted. */
export interface UsageEntry {
  repository: RepositoryName
  tag: Tag | undefined
  pulls: number
  pushes: number
  /** Milliseconds since 1970. */
  lastPulledAt: number | undefined
  lastPushedAt: number | undefined
}

/** Writes of counters, for one call of the writer. */
export function usageWrites(db: Db) {
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
          lastPulledAt: sql`coalesce(${used.lastPulledAt}, ${repository.lastPulledAt})`,
          lastPushedAt: sql`coalesce(${used.lastPushedAt}, ${repository.lastPushedAt})`,
        })
        .where(and(eq(repository.name, used.repository), isNull(repository.deletedAt)))
        .returning({ id: repository.id }),
  )
  const addToTag = statement(
    db,
    { repositoryId: number, tag: text, pulls: number, lastPulledAt: optional(number) },
    (used) =>
      db
        .update(tag)
        .set({
          pulls: sql`${tag.pulls} + ${used.pulls}`,
          lastPulledAt: sql`coalesce(${used.lastPulledAt}, ${tag.lastPulledAt})`,
        })
        .where(and(eq(tag.repositoryId, used.repositoryId), eq(tag.name, used.tag))),
  )
  return {
    /** Adds to the counters of repositories and tags; those that are gone are left out. */
    addUsage({ entries }: { entries: UsageEntry[] }): void {
      for (const { repository, tag, pulls, pushes, lastPulledAt = null, lastPushedAt = null } of entries) {
        const row = addToRepository.get({ repository, pulls, pushes, lastPulledAt, lastPushedAt })
        if (tag === undefined || row === undefined) continue
        addToTag.run({ repositoryId: row.id, tag, pulls, lastPulledAt })
      }
    },
  }
}
