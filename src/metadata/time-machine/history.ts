import { and, asc, desc, eq, gt, lt, type SQL, sql } from 'drizzle-orm'
import type { Write } from '../../domain/caller.ts'
import type { EventType } from '../../domain/events.ts'
import { type Digest, digestFromBytes } from '../../oci/digest.ts'
import type { RepositoryName, Tag } from '../../oci/reference.ts'
import { repositoryReads } from '../content/repositories.ts'
import type { Db } from '../database.ts'
import { tagHistory } from '../schema.ts'
import { whoColumns } from '../who-columns.ts'

/** One move of a tag. */
export interface HistoryLine {
  id: number
  tag: Tag
  /** Where it points from then on; undefined: there is no such tag. */
  digest: Digest | undefined
  /** Where it pointed before. */
  previous: Digest | undefined
  /** Milliseconds since 1970. */
  at: number
  act: EventType
  account: string | null
  credential: string | null
  address: string
  requestId: string
  /** Whether the manifest that it pointed at before is still there, hidden or not. */
  isPreviousHere: boolean
}

export type HistoryReads = ReturnType<typeof historyReads>

/** Reads of where tags pointed. */
export function historyReads(db: Db) {
  const { find } = repositoryReads(db)
  // Spelled out, for in what is selected Drizzle leaves out the names of tables.
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
  const ofId = db
    .select({ at: tagHistory.at })
    .from(tagHistory)
    .where(eq(tagHistory.id, sql.placeholder('id')))
    .prepare()
  return {
    /** At most `limit` moves of a tag before the line `before`, newest first; undefined without such a repository. */
    ofTag(name: RepositoryName, tag: Tag, before: number, limit: number): HistoryLine[] | undefined {
      const repositoryId = find(name)
      if (repositoryId === undefined) return undefined
      const condition = and(eq(tagHistory.name, tag), lt(tagHistory.id, before))
      return page(repositoryId, limit, condition, [desc(tagHistory.id)])
    },

    /** The same for all tags of a repository. */
    ofRepository(name: RepositoryName, before: number, limit: number): HistoryLine[] | undefined {
      const repositoryId = find(name)
      if (repositoryId === undefined) return undefined
      const end = ofId.get({ id: before })?.at ?? Number.MAX_SAFE_INTEGER
      // In two steps, for the index does not find the place within one time: a rewind leaves many lines of one.
      const isOfThen = and(eq(tagHistory.at, end), lt(tagHistory.id, before))
      const lines = page(repositoryId, limit, isOfThen, [desc(tagHistory.id)])
      const order = [desc(tagHistory.at), desc(tagHistory.id)]
      return lines.concat(page(repositoryId, limit - lines.length, lt(tagHistory.at, end), order))
    },
  }
}

function toLine(line: typeof tagHistory.$inferSelect, isPreviousHere: boolean): HistoryLine {
  const { id, name, digest, previous, at, act, account, credential, address, requestId } = line
  return {
    id,
    tag: name as Tag,
    digest: digest === null ? undefined : digestFromBytes(digest),
    previous: previous === null ? undefined : digestFromBytes(previous),
    at,
    act: act as EventType,
    account,
    credential,
    address,
    requestId,
    isPreviousHere,
  }
}

/** A move to be recorded; null is no tag. */
export interface MoveLine extends Write {
  act: EventType
  digest: Buffer | null
  previous: Buffer | null
}

/** Where a tag pointed at some time; null: nowhere. */
export type PastState = Buffer | null

/** What the writer records of tags, and looks up to undo it. */
export function tagLines(db: Db) {
  const insert = lineInsert(db)
  const ofRepository = eq(tagHistory.repositoryId, sql.placeholder('repositoryId'))
  const ofTag = and(ofRepository, eq(tagHistory.name, sql.placeholder('name')))
  const since = gt(tagHistory.at, sql.placeholder('at'))
  const firstSince = db
    .select({ previous: tagHistory.previous })
    .from(tagHistory)
    .where(and(ofTag, since))
    .orderBy(asc(tagHistory.id))
    .limit(1)
    .prepare()
  const leftSince = db
    .select({ id: tagHistory.id })
    .from(tagHistory)
    .where(and(ofTag, since, eq(tagHistory.previous, sql.placeholder('digest'))))
    .limit(1)
    .prepare()
  const movedSince = db
    .select({ name: tagHistory.name, previous: tagHistory.previous, first: sql`min(${tagHistory.id})` })
    .from(tagHistory)
    .where(and(ofRepository, since))
    .groupBy(tagHistory.name)
    .prepare()
  const goneWith = db
    .select({ name: tagHistory.name, previous: tagHistory.previous })
    .from(tagHistory)
    .where(and(ofRepository, eq(tagHistory.at, sql.placeholder('at')), eq(tagHistory.act, 'manifest.delete')))
    .orderBy(asc(tagHistory.id))
    .prepare()
  return {
    /** Records that a tag moved. */
    add(repositoryId: number, name: Tag, { caller, ...line }: MoveLine): void {
      insert.run({ ...whoColumns(caller), ...line, repositoryId, name })
    },

    /** Where the tag pointed at a time; undefined when it has not moved since. */
    stateAt(repositoryId: number, name: Tag, at: number): PastState | undefined {
      return firstSince.get({ repositoryId, name, at })?.previous
    },

    /** Whether the tag pointed at the digest at some time since, or until then, and no longer does. */
    hasLeft: (repositoryId: number, name: Tag, digest: Buffer, at: number): boolean =>
      leftSince.get({ repositoryId, name, digest, at }) !== undefined,

    /** Every tag that moved after a time, with where it pointed then. */
    movedSince: (repositoryId: number, at: number): { name: Tag; state: PastState }[] =>
      movedSince
        .all({ repositoryId, at })
        // `previous` is of the row that has the least id: https://sqlite.org/lang_select.html#bareagg
        .map(({ name, previous }) => ({ name: name as Tag, state: previous })),

    /** The tags that went with a manifest in one act at this time, with the digest that they had. */
    goneWith: (repositoryId: number, at: number): { name: Tag; digest: Buffer }[] =>
      goneWith
        .all({ repositoryId, at })
        .flatMap(({ name, previous }) => (previous ? [{ name: name as Tag, digest: previous }] : [])),
  }
}

function lineInsert(db: Db) {
  return db
    .insert(tagHistory)
    .values({
      repositoryId: sql.placeholder('repositoryId'),
      name: sql.placeholder('name'),
      digest: sql.placeholder('digest'),
      previous: sql.placeholder('previous'),
      at: sql.placeholder('at'),
      act: sql.placeholder('act'),
      account: sql.placeholder('account'),
      credential: sql.placeholder('credential'),
      address: sql.placeholder('address'),
      requestId: sql.placeholder('requestId'),
    })
    .prepare()
}
