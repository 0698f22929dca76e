import { sql } from 'drizzle-orm'
import type { RepositorySet } from '../../../domain/repository-set.ts'
import { turn } from '../../../turn.ts'
import type { Db } from '../../database.ts'
import { repository } from '../../schema/schema.ts'
import { number, statement, text } from '../../statement.ts'
import { isLike, likePattern, trigramQuery } from '../text-search.ts'
import { type NamedRow, readByName } from './repositories.ts'
import type { Part } from './visible-pages.ts'

/** How many matches of the index are looked up. If there are more, reading the list finds a page of them sooner. */
const MATCHES_MAX = 500

type Found = NamedRow & { isFound: number }

/**
 * Returns a function that searches for repositories whose name or description contains a text. It finds a rare text
 * with the index. For any other text it reads the list, and gives other requests a turn in between.
 */
export function repositorySearch(db: Db) {
  const { matches, among, all } = statements(db)
  return async (
    set: RepositorySet,
    q: string,
    last: string,
    limit: number,
  ): Promise<Part<NamedRow, string>> => {
    const query = trigramQuery(q)
    const rare = query === undefined ? [] : matches.all({ query })
    const isRare = query !== undefined && rare.length <= MATCHES_MAX
    const ids = JSON.stringify(rare.map(({ id }) => id))
    const pattern = likePattern(q)
    const read = (from: string, size: number) =>
      isRare ? among.all({ ids, from, limit: size }) : all.all({ pattern, from, limit: size })
    const rows: NamedRow[] = []
    for (let after = last; ; await turn()) {
      const part = readByName(set, after, limit - rows.length, read, ({ isFound }) => isFound === 1)
      rows.push(...part.rows)
      if (part.next === undefined || rows.length === limit) return { rows, next: part.next }
      after = part.next
    }
  }
}

function statements(db: Db) {
  const page = { from: text, limit: number }
  return {
    matches: statement(
      db,
      { query: text },
      ({ query }) => sql<{ id: number }>`select rowid as id from repository_search
        where repository_search match ${query} limit ${sql.raw(String(MATCHES_MAX + 1))}`,
    ),
    among: statement(
      db,
      { ids: text, ...page },
      ({ ids, from, limit }) => sql<Found>`select id, name, 1 as "isFound" from repository
        where id in (select value from json_each(${ids})) and name >= ${from} and deleted_at is null
        order by name limit ${limit}`,
    ),
    all: statement(
      db,
      { pattern: text, ...page },
      ({ pattern, from, limit }) => sql<Found>`select id, name,
          (${isLike(repository.name, pattern)} or ${isLike(repository.description, pattern)}) as "isFound"
        from repository where name >= ${from} and deleted_at is null order by name limit ${limit}`,
    ),
  }
}
