import { and, asc, eq, gt, gte, isNotNull, lt, max, sql } from 'drizzle-orm'
import { type Digest, digestFromBytes } from '../../oci/digest.ts'
import type { RepositoryName, Tag } from '../../oci/reference.ts'
import { turn } from '../../turn.ts'
import type { Db } from '../database.ts'
import { manifest, repository, tag } from '../schema/schema.ts'
import { number, statement, text } from '../statement.ts'

/** How many rows are examined in one turn of some milliseconds. */
const ROWS_A_TURN = 5000

/** A tag of an upstream. */
export interface CachedTagRow {
  repositoryId: number
  repository: RepositoryName
  tag: Tag
  digest: Digest
  /** When its upstream last confirmed it, in milliseconds since 1970. */
  checkedAt: number
}

/** Lists of cached content, which are read some rows per turn. */
export function cacheLists(db: Db) {
  const { lastRepository, repositories, tags, lastManifest, manifests } = statements(db)
  return {
    /** Returns at most `limit` cached tags after the given one, by repository and name. */
    async tags(after: { repositoryId: number; tag: string }, limit: number): Promise<CachedTagRow[]> {
      const rows: CachedTagRow[] = []
      const end = lastRepository.get({})?.id ?? 0
      for (let from = after.repositoryId; from <= end && rows.length < limit; from += ROWS_A_TURN) {
        for (const found of repositories.all({ from, before: from + ROWS_A_TURN })) {
          if (rows.length === limit) break
          const last = found.repositoryId === after.repositoryId ? after.tag : ''
          const page = tags.all({ repositoryId: found.repositoryId, last, limit: limit - rows.length })
          rows.push(
            ...page.map((row) => ({
              repositoryId: found.repositoryId,
              repository: found.name as RepositoryName,
              tag: row.name as Tag,
              digest: digestFromBytes(row.digest),
              checkedAt: row.checkedAt,
            })),
          )
        }
        await turn()
      }
      return rows
    },

    /** Counts the cached manifests. */
    async countManifests(): Promise<number> {
      const end = lastManifest.get({})?.id ?? 0
      let count = 0
      for (let from = 0; from <= end; from += ROWS_A_TURN) {
        count += manifests.get({ from, before: from + ROWS_A_TURN })?.count ?? 0
        await turn()
      }
      return count
    },
  }
}

function statements(db: Db) {
  const range = { from: number, before: number }
  return {
    lastRepository: statement(db, {}, () => db.select({ id: max(repository.id) }).from(repository)),
    repositories: statement(db, range, ({ from, before }) =>
      db
        .select({ repositoryId: repository.id, name: repository.name })
        .from(repository)
        .where(and(gte(repository.id, from), lt(repository.id, before), isNotNull(repository.upstream)))
        .orderBy(asc(repository.id)),
    ),
    tags: statement(
      db,
      { repositoryId: number, last: text, limit: number },
      ({ repositoryId, last, limit }) =>
        db
          .select({ name: tag.name, digest: tag.digest, checkedAt: sql<number>`${tag.checkedAt}` })
          .from(tag)
          .where(and(eq(tag.repositoryId, repositoryId), gt(tag.name, last), isNotNull(tag.checkedAt)))
          .orderBy(asc(tag.name))
          .limit(limit),
    ),
    lastManifest: statement(db, {}, () => db.select({ id: max(manifest.id) }).from(manifest)),
    manifests: statement(db, range, ({ from, before }) =>
      db
        .select({ count: sql<number>`count(*)` })
        .from(manifest)
        .where(and(gte(manifest.id, from), lt(manifest.id, before), isNotNull(manifest.usedAt))),
    ),
  }
}
