import { and, asc, desc, eq, sql } from 'drizzle-orm'
import { turn } from '../../../turn.ts'
import type { Db } from '../../database.ts'
import { tag } from '../../schema/schema.ts'
import { number, statement, text } from '../../statement.ts'
import { isLike, likePattern } from '../text-search.ts'
import { isTagAt, selectTags, type TagQuery, type TagRow, toTag } from './listed-tag.ts'

/** How many tags are examined in the first turn, and at most in one turn. */
const LOOKED_AT_FIRST = 256
const LOOKED_AT_MAX = 4096

/** A turn that takes longer halves the next one. */
const TURN_MS_MAX = 2

type Place = NonNullable<TagQuery['after']>

/** Positions before and after every tag. Names are printable ASCII. */
const START = { name: '', updatedAt: -1 }
const END = { name: '\x7f', updatedAt: Number.MAX_SAFE_INTEGER }

/**
 * Returns a function that finds at most `limit` matching tags of a repository. No index finds a part of a name, so a
 * repository with many tags is scanned, some tags per turn.
 */
export function tagSearch(db: Db) {
  const inOrder = {
    name: { asc: slices(db, 'name', 'asc'), desc: slices(db, 'name', 'desc') },
    updated: { asc: slices(db, 'updated', 'asc'), desc: slices(db, 'updated', 'desc') },
  }
  return async (repositoryId: number, query: TagQuery, limit: number, now: number): Promise<TagRow[]> => {
    const { q = '', sort, order, after } = query
    const { endOf, read } = inOrder[sort][order]
    const [first, last] = order === 'asc' ? [START, END] : [END, START]
    const found: TagRow[] = []
    let { name, updatedAt }: Omit<Place, 'name'> & { name: string } = after ?? first
    for (let size = Math.max(limit, LOOKED_AT_FIRST); ; ) {
      const began = performance.now()
      const from = { repositoryId, name, updatedAt }
      const end = endOf.get({ ...from, skipped: size - 1 })
      const { name: endName, updatedAt: endUpdatedAt } = end ?? last
      const until = { endName, endUpdatedAt, limit: limit - found.length }
      found.push(...read.all({ ...from, ...until, pattern: likePattern(q), now }).map(toTag))
      if (end === undefined || found.length >= limit) return found
      name = endName
      updatedAt = endUpdatedAt
      const isSlow = performance.now() - began > TURN_MS_MAX
      size = isSlow ? Math.max(1, size >> 1) : Math.min(size * 2, LOOKED_AT_MAX)
      await turn()
    }
  }
}

function slices(db: Db, sort: TagQuery['sort'], order: TagQuery['order']) {
  const [direction, beyond, until] = order === 'asc' ? [asc, sql`>`, sql`<=`] : [desc, sql`<`, sql`>=`]
  const sorted = sort === 'name' ? [direction(tag.name)] : [direction(tag.updatedAt), direction(tag.name)]
  /** A subquery hides the parameter from the planner. Otherwise SQLite would recompile the statement. */
  const compare = (operator: typeof beyond, name: unknown, updatedAt: unknown) =>
    sort === 'name'
      ? sql`${tag.name} ${operator} (select ${name})`
      : sql`(${tag.updatedAt}, ${tag.name}) ${operator} ((select ${updatedAt}), (select ${name}))`
  const place = { repositoryId: number, name: text, updatedAt: number }
  return {
    /** Returns the last of this many tags after a position; undefined when there are fewer. */
    endOf: statement(db, { ...place, skipped: number }, ({ repositoryId, name, updatedAt, skipped }) =>
      db
        .select({ name: tag.name, updatedAt: sort === 'name' ? sql<number>`0` : tag.updatedAt })
        .from(tag)
        .where(and(eq(tag.repositoryId, repositoryId), compare(beyond, name, updatedAt)))
        .orderBy(...sorted)
        .limit(1)
        .offset(skipped),
    ),

    /** Returns the matching tags between two positions. */
    read: statement(
      db,
      { ...place, endName: text, endUpdatedAt: number, pattern: text, now: number, limit: number },
      ({ repositoryId, name, updatedAt, endName, endUpdatedAt, pattern, now, limit }) =>
        selectTags(db)
          .where(
            and(
              eq(tag.repositoryId, repositoryId),
              compare(beyond, name, updatedAt),
              compare(until, endName, endUpdatedAt),
              isLike(tag.name, sql`(select ${pattern})`),
              isTagAt(sql`${now}`),
            ),
          )
          .orderBy(...sorted)
          .limit(limit),
    ),
  }
}
