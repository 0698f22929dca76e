import { and, asc, desc, eq, type SQL, sql } from 'drizzle-orm'
import type { Db } from '../database.ts'
import { tag } from '../schema.ts'
import { turn } from '../turn.ts'
import { isTagAt, selectTags, type TagQuery, type TagRow, toTag } from './listed-tag.ts'
import { containing } from './text-search.ts'

/** Tags that are looked at in one turn: some milliseconds. */
const LOOKED_AT_FIRST = 256
const LOOKED_AT_MAX = 4096

type Place = NonNullable<TagQuery['after']>

/**
 * Finds at most `limit` tags of a repository that match. Of a repository with many tags some are looked at in each turn,
 * for no index finds a part of a name.
 */
export async function searchTags(
  db: Db,
  repositoryId: number,
  query: TagQuery,
  limit: number,
  now: number,
): Promise<TagRow[]> {
  const { endOf, read } = slices(db, repositoryId, query, now)
  const found: TagRow[] = []
  let { after } = query
  for (let size = Math.max(limit, LOOKED_AT_FIRST); ; size = Math.min(size * 2, LOOKED_AT_MAX)) {
    const end = endOf(after, size)
    found.push(...read(after, end, limit - found.length))
    if (end === undefined || found.length >= limit) return found
    after = end
    await turn()
  }
}

function slices(db: Db, repositoryId: number, { q = '', sort, order }: TagQuery, now: number) {
  const isByName = sort === 'name'
  const key = isByName ? [tag.name] : [tag.updatedAt, tag.name]
  const direction = order === 'asc' ? asc : desc
  const [beyond, until] = order === 'asc' ? [sql`>`, sql`<=`] : [sql`<`, sql`>=`]
  const compare = (operator: SQL, { name, updatedAt }: Place) => {
    const values = isByName ? [sql`${name}`] : [sql`${updatedAt}`, sql`${name}`]
    return sql`(${sql.join(key, sql`, `)}) ${operator} (${sql.join(values, sql`, `)})`
  }
  const isWithin = (after: Place | undefined, end?: Place) =>
    and(eq(tag.repositoryId, repositoryId), after && compare(beyond, after), end && compare(until, end))
  const sorted = key.map((column) => direction(column))
  return {
    /** The last one of so many tags after a place; undefined when there are fewer. */
    endOf: (after: Place | undefined, size: number): Place | undefined =>
      db
        .select({ name: tag.name, updatedAt: isByName ? sql<number>`0` : tag.updatedAt })
        .from(tag)
        .where(isWithin(after))
        .orderBy(...sorted)
        .limit(1)
        .offset(size - 1)
        .get() as Place | undefined,

    /** The tags between two places that match. */
    read: (after: Place | undefined, end: Place | undefined, limit: number): TagRow[] =>
      selectTags(db)
        .where(and(isWithin(after, end), q === '' ? undefined : containing(tag.name, q), isTagAt(now)))
        .orderBy(...sorted)
        .limit(limit)
        .all()
        .map(toTag),
  }
}
