import { and, eq, isNull, sql } from 'drizzle-orm'
import type { RepositoryName, Tag } from '../../oci/reference.ts'
import type { Db } from '../database.ts'
import { repository, tag } from '../schema.ts'

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
  const parameters = { pulls: sql.placeholder('pulls'), lastPulledAt: sql.placeholder('lastPulledAt') }
  const addToRepository = db
    .update(repository)
    .set({
      pulls: sql`${repository.pulls} + ${parameters.pulls}`,
      pushes: sql`${repository.pushes} + ${sql.placeholder('pushes')}`,
      lastPulledAt: sql`coalesce(${parameters.lastPulledAt}, ${repository.lastPulledAt})`,
      lastPushedAt: sql`coalesce(${sql.placeholder('lastPushedAt')}, ${repository.lastPushedAt})`,
    })
    .where(and(eq(repository.name, sql.placeholder('repository')), isNull(repository.deletedAt)))
    .returning({ id: repository.id })
    .prepare()
  const addToTag = db
    .update(tag)
    .set({
      pulls: sql`${tag.pulls} + ${parameters.pulls}`,
      lastPulledAt: sql`coalesce(${parameters.lastPulledAt}, ${tag.lastPulledAt})`,
    })
    .where(and(eq(tag.repositoryId, sql.placeholder('repositoryId')), eq(tag.name, sql.placeholder('tag'))))
    .prepare()
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
