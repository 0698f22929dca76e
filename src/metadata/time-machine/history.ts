import { and, desc, eq, getTableColumns, lt, type Placeholder, type SQL, sql } from 'drizzle-orm'
import type { EventType } from '../../domain/events.ts'
import { type Digest, digestFromBytes } from '../../oci/digest.ts'
import type { RepositoryName, Tag } from '../../oci/reference.ts'
import type { RepositoryReads } from '../content/repositories/repositories.ts'
import type { Db } from '../database.ts'
import { tagHistory } from '../schema/schema.ts'
import { number, statement, text } from '../statement.ts'

/** One move of a tag. */
export interface HistoryLine {
  id: number
  tag: Tag
  /** Where it points from then on; undefined if the tag was deleted. */
  digest: Digest | undefined
  /** Where it pointed before. */
  previous: Digest | undefined
  /** Milliseconds since 1970. */
  at: number
  act: EventType
  /** Why, if a policy decided it. */
  reason: string | null
  account: string | null
  credential: string | null
  address: string
  requestId: string
  /** Whether the manifest that it pointed at before still exists, deleted or not. */
  isPreviousHere: boolean
}

/** Reads of where tags pointed. */
export function historyReads(db: Db, { find }: Pick<RepositoryReads, 'find'>) {
  // Written as SQL, because Drizzle omits the names of tables in selected columns.
  const isPreviousHere = sql<number>`(
    exists (select 1 from manifest m where m.digest = tag_history.previous and m.repository_id = tag_history.repository_id)
    or exists (select 1 from manifest_digest d
      where d.digest = tag_history.previous and d.repository_id = tag_history.repository_id))`
  const kinds = { repositoryId: number, tag: text, at: number, before: number, limit: number }
  const page = (
    isOf: (wanted: Record<keyof typeof kinds, Placeholder>) => SQL | undefined,
    ...order: SQL[]
  ) =>
    statement(db, kinds, (wanted) =>
      db
        .select({ ...getTableColumns(tagHistory), isPreviousHere })
        .from(tagHistory)
        .where(and(eq(tagHistory.repositoryId, wanted.repositoryId), isOf(wanted)))
        .orderBy(...order)
        .limit(wanted.limit),
    )
  const newest = desc(tagHistory.id)
  const ofTag = page(({ tag, before }) => and(eq(tagHistory.name, tag), lt(tagHistory.id, before)), newest)
  const ofTime = page(({ at, before }) => and(eq(tagHistory.at, at), lt(tagHistory.id, before)), newest)
  const earlier = page(({ at }) => lt(tagHistory.at, at), desc(tagHistory.at), newest)
  const ofId = statement(db, { id: number }, ({ id }) =>
    db.select({ at: tagHistory.at }).from(tagHistory).where(eq(tagHistory.id, id)),
  )
  return {
    /**
     * Returns at most `limit` moves of a tag before the entry `before`, newest first; undefined without such a
     * repository.
     */
    ofTag(name: RepositoryName, tag: Tag, before: number, limit: number): HistoryLine[] | undefined {
      const repositoryId = find(name)
      if (repositoryId === undefined) return undefined
      return ofTag.all({ repositoryId, tag, at: 0, before, limit }).map(toLine)
    },

    /** Does the same for all tags of a repository. */
    ofRepository(name: RepositoryName, before: number, limit: number): HistoryLine[] | undefined {
      const repositoryId = find(name)
      if (repositoryId === undefined) return undefined
      const at = ofId.get({ id: before })?.at ?? Number.MAX_SAFE_INTEGER
      // In two steps, because the index cannot seek among entries of the same time, and a rewind creates many of
      // them.
      const lines = ofTime.all({ repositoryId, tag: '', at, before, limit })
      const rest = { repositoryId, tag: '', at, before, limit: limit - lines.length }
      return lines.concat(earlier.all(rest)).map(toLine)
    },
  }
}

function toLine(line: typeof tagHistory.$inferSelect & { isPreviousHere: number }): HistoryLine {
  const { repositoryId: _, previousExpiresAt: _expiry, name, digest, previous, ...row } = line
  return {
    ...row,
    tag: name as Tag,
    digest: digest === null ? undefined : digestFromBytes(digest),
    previous: previous === null ? undefined : digestFromBytes(previous),
    act: row.act as EventType,
    isPreviousHere: row.isPreviousHere === 1,
  }
}
