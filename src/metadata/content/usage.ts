import { and, eq, isNull, sql } from 'drizzle-orm'
import { dayOf } from '../../domain/day.ts'
import type { RepositoryName, Tag } from '../../oci/reference.ts'
import type { Db } from '../database.ts'
import { repository, tag } from '../schema.ts'
import { number, optional, statement, text } from '../statement.ts'
import { pullCounter } from './pulls.ts'

/** How often an account pulled from a repository, by one tag or by digest, and how often it was pushed to. */
export interface UsageEntry {
  repository: RepositoryName
  tag: Tag | undefined
  /** Undefined for anonymous, and for pushes. */
  account: string | undefined
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
  const countPulls = pullCounter(db)
  return {
    /** Adds to the counters of repositories and tags, and to who pulled on which day. Skips repositories that are gone. */
    addUsage({ entries }: { entries: UsageEntry[] }): void {
      const addPulls = countPulls()
      for (const { repository, tag, account, pulls, pushes, ...last } of entries) {
        const { lastPulledAt = null, lastPushedAt = null } = last
        const row = addToRepository.get({ repository, pulls, pushes, lastPulledAt, lastPushedAt })
        if (row === undefined || lastPulledAt === null) continue
        const repositoryId = row.id
        if (tag !== undefined) addToTag.run({ repositoryId, tag, pulls, lastPulledAt })
        addPulls({ repositoryId, tag: tag ?? '', account: account ?? '', day: dayOf(lastPulledAt), pulls })
      }
    },
  }
}
