import { and, desc, eq, lt, type SQL, sql } from 'drizzle-orm'
import type { EventType } from '../../domain/events.ts'
import { type Digest, digestFromBytes } from '../../oci/digest.ts'
import type { RepositoryName, Tag } from '../../oci/reference.ts'
import type { RepositoryReads } from '../content/repositories/repositories.ts'
import type { Db } from '../database.ts'
import { tagHistory } from '../schema/schema.ts'
import { number, statement } from '../statement.ts'

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
  const page = (repositoryId: number, limit: number, condition: SQL | undefined, order: SQL[]) =>
    db
      .select({ line: tagHistory, isPreviousHere })
      .from(tagHistory)
      .where(and(eq(tagHistory.repositoryId, repositoryId), condition))
      .orderBy(...order)
      .limit(limit)
      .all()
      .map(({ line, isPreviousHere }) => toLine(line, isPreviousHere === 1))
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
      const condition = and(eq(tagHistory.name, tag), lt(tagHistory.id, before))
      return page(repositoryId, limit, condition, [desc(tagHistory.id)])
    },

    /** Does the same for all tags of a repository. */
    ofRepository(name: RepositoryName, before: number, limit: number): HistoryLine[] | undefined {
      const repositoryId = find(name)
      if (repositoryId === undefined) return undefined
      const end = ofId.get({ id: before })?.at ?? Number.MAX_SAFE_INTEGER
      // In two steps, because the index cannot seek among entries of the same time, and a rewind creates many of
      // them.
      const isOfThen = and(eq(tagHistory.at, end), lt(tagHistory.id, before))
      const lines = page(repositoryId, limit, isOfThen, [desc(tagHistory.id)])
      const order = [desc(tagHistory.at), desc(tagHistory.id)]
      return lines.concat(page(repositoryId, limit - lines.length, lt(tagHistory.at, end), order))
    },
  }
}

function toLine(line: typeof tagHistory.$inferSelect, isPreviousHere: boolean): HistoryLine {
  const { id, name, digest, previous, at, act, reason, account, credential, address, requestId } = line
  return {
    id,
    tag: name as Tag,
    digest: digest === null ? undefined : digestFromBytes(digest),
    previous: previous === null ? undefined : digestFromBytes(previous),
    at,
    act: act as EventType,
    reason,
    account,
    credential,
    address,
    requestId,
    isPreviousHere,
  }
}
