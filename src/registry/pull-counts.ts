import { and, asc, count, desc, eq, inArray, isNull, lt, type Placeholder, type SQL, sql } from 'drizzle-orm'
import type { SQLiteColumn } from 'drizzle-orm/sqlite-core'
import type { Db } from '../database/database.ts'
import { pull, repository, tag } from '../database/schema.ts'
import { insertInto, number, optional, statement, text } from '../database/statement.ts'
import { type Digest, digestToBytes, type RepositoryName, type Tag } from '../oci/reference.ts'
import { dayOf } from '../runtime/clock.ts'
import type { FindManifest } from './manifests.ts'
import type { RepositoryReads } from './repositories.ts'

/** How many tags a pull by digest counts as a use of, and how many manifests that list the digest are examined. */
const TAGS_USED_MAX = 100
const MANIFESTS_USED_MAX = 100

/** How often an account pulled from a repository, by one tag or by digest, and how often it was pushed to. */
export interface UsageEntry {
  repository: RepositoryName
  tag: Tag | undefined
  /** What was requested by digest. Undefined for requests by tag, and for pushes. */
  digest: Digest | undefined
  /** Undefined for anonymous, and for pushes. */
  account: string | undefined
  pulls: number
  pushes: number
  /**
   * Milliseconds since 1970. Also set by a HEAD, which is not a pull, because a client that has the image sends only
   * that.
   */
  lastPulledAt: number | undefined
  lastPushedAt: number | undefined
}

/** Writes of counters, for one call of the writer. */
export function usageWrites(db: Db, findManifest: FindManifest) {
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
          lastPulledAt: newer(repository.lastPulledAt, used.lastPulledAt),
          lastPushedAt: newer(repository.lastPushedAt, used.lastPushedAt),
        })
        .where(and(eq(repository.name, used.repository), isNull(repository.deletedAt)))
        .returning({ id: repository.id }),
  )
  const addToTag = statement(
    db,
    { repositoryId: number, tag: text, pulls: number, lastPulledAt: number },
    (used) =>
      db
        .update(tag)
        .set({
          pulls: sql`${tag.pulls} + ${used.pulls}`,
          lastPulledAt: newer(tag.lastPulledAt, used.lastPulledAt),
        })
        .where(and(eq(tag.repositoryId, used.repositoryId), eq(tag.name, used.tag))),
  )
  const useTags = tagsInUse(db)
  const countPulls = pullCounter(db)
  return {
    /**
     * Adds to the counters of repositories and tags, and to the pulls by day. Skips repositories that no longer
     * exist.
     */
    addUsage({ entries }: { entries: UsageEntry[] }): void {
      const addPulls = countPulls()
      for (const { repository, tag, digest, account, pulls, pushes, ...last } of entries) {
        const { lastPulledAt = null, lastPushedAt = null } = last
        const row = addToRepository.get({ repository, pulls, pushes, lastPulledAt, lastPushedAt })
        if (row === undefined || lastPulledAt === null) continue
        const repositoryId = row.id
        if (tag !== undefined) addToTag.run({ repositoryId, tag, pulls, lastPulledAt })
        const id = digest && findManifest(repositoryId, digestToBytes(digest))?.id
        if (id !== undefined) useTags(id, lastPulledAt)
        if (pulls > 0)
          addPulls({ repositoryId, tag: tag ?? '', account: account ?? '', day: dayOf(lastPulledAt), pulls })
      }
    },
  }
}

/** Returns the newer of two times, each of which may be null, because entries are not ordered by time. */
function newer(known: SQLiteColumn, used: Placeholder): SQL {
  return sql`max(coalesce(${known}, ${used}), coalesce(${used}, ${known}))`
}

/**
 * Refreshes the last pull of the tags at a manifest, and at the indexes that list it, so that retention does not
 * expire what is deployed by digest. Beyond the limit, no more tags need to be refreshed, because the refreshed ones
 * keep the manifest.
 */
function tagsInUse(db: Db) {
  const use = statement(
    db,
    { id: number, lastPulledAt: number, limit: number },
    ({ id, lastPulledAt, limit }) => sql<{ used: number }>`
      update tag set last_pulled_at = max(coalesce(last_pulled_at, 0), ${lastPulledAt})
      where rowid in (select rowid from tag where manifest_id = ${id} limit ${limit}) returning 1 as used`,
  )
  const indexes = statement(
    db,
    { id: number, limit: number },
    ({ id, limit }) => sql<{ id: number }>`
      select r.manifest_id as id from manifest m
      join manifest_reference r on r.digest = m.digest and r.repository_id = m.repository_id and r.role = 'child'
      where m.id = ${id} limit ${limit}`,
  )
  return (manifestId: number, lastPulledAt: number): void => {
    const used = new Set([manifestId])
    let tags = TAGS_USED_MAX
    for (const id of used) {
      tags -= use.all({ id, lastPulledAt, limit: tags }).length
      if (tags === 0) return
      for (const index of indexes.all({ id, limit: MANIFESTS_USED_MAX - used.size })) used.add(index.id)
    }
  }
}

/** The maximum rows of a day, in total and per account. Further pulls are counted without their tag. */
const ROWS_PER_DAY_MAX = 20_000
const ROWS_PER_ACCOUNT_MAX = 5000

/** How many rows one statement deletes. */
const DELETED_AT_ONCE = 500

/** How often an account pulled a tag on a day. */
export interface PullRow {
  id: number
  /** Days since 1970. */
  day: number
  /** Undefined for pulls by digest. */
  tag: Tag | undefined
  /** Undefined for anonymous. */
  account: string | undefined
  pulls: number
}

/** The position of a page of pulls. */
export interface PullKey {
  day: number
  id: number
}

/** How often an account pulled a tag of a repository on a day. Empty texts: by digest, and anonymous. */
interface Counted {
  repositoryId: number
  tag: string
  day: number
  account: string
  pulls: number
}

/** Adds to the pulls of tags, accounts and days, within the limits of rows. */
function pullCounter(db: Db) {
  const kinds = { repositoryId: number, tag: text, day: number, account: text, pulls: number }
  const add = statement(db, kinds, (counted) =>
    db
      .update(pull)
      .set({ pulls: sql`${pull.pulls} + ${counted.pulls}` })
      .where(
        and(
          eq(pull.repositoryId, counted.repositoryId),
          eq(pull.tag, counted.tag),
          eq(pull.day, counted.day),
          eq(pull.account, counted.account),
        ),
      )
      .returning({ id: pull.id }),
  )
  const insert = insertInto(db, pull)
  const rowsOf = rowCounts(db)
  /** Returns a function that adds one row, for one call of the writer: it counts the rows of a day only once. */
  return () => {
    const rows = rowsOf()
    return function addPulls(counted: Counted): void {
      if (add.get(counted) !== undefined) return
      const { day, account, tag } = counted
      if (rows.ofDay(day) >= ROWS_PER_DAY_MAX) return
      if (tag !== '' && rows.ofAccount(day, account) >= ROWS_PER_ACCOUNT_MAX) {
        addPulls({ ...counted, tag: '' })
      } else {
        insert.run(counted)
        rows.added(day, account)
      }
    }
  }
}

/** Counts the rows of a day, and those of an account on a day. */
function rowCounts(db: Db) {
  const countDay = statement(db, { day: number }, ({ day }) =>
    db.select({ rows: count() }).from(pull).where(eq(pull.day, day)),
  )
  const countAccount = statement(db, { day: number, account: text }, ({ day, account }) =>
    db
      .select({ rows: count() })
      .from(pull)
      .where(and(eq(pull.day, day), eq(pull.account, account))),
  )
  return () => {
    const known = new Map<string, number>()
    const remember = (key: string, read: () => { rows: number } | undefined): number => {
      const rows = known.get(key) ?? read()?.rows ?? 0
      known.set(key, rows)
      return rows
    }
    return {
      ofDay: (day: number) => remember(`${day}`, () => countDay.get({ day })),
      ofAccount: (day: number, account: string) =>
        remember(`${day} ${account}`, () => countAccount.get({ day, account })),
      added(day: number, account: string): void {
        for (const key of [`${day}`, `${day} ${account}`]) {
          const rows = known.get(key)
          if (rows !== undefined) known.set(key, rows + 1)
        }
      },
    }
  }
}

/** Writes that delete pulls. */
export function pullWrites(db: Db) {
  const remove = statement(db, { before: number, limit: number }, ({ before, limit }) => {
    const oldest = db
      .select({ id: pull.id })
      .from(pull)
      .where(lt(pull.day, before))
      .orderBy(asc(pull.day))
      .limit(limit)
    return db.delete(pull).where(inArray(pull.id, oldest)).returning({ id: pull.id })
  })
  return {
    /** Deletes some pulls of days before this one. `more` says whether there may be more of them. */
    removePulls({ before }: { before: number }): { more: boolean } {
      return { more: remove.all({ before, limit: DELETED_AT_ONCE }).length === DELETED_AT_ONCE }
    },
  }
}

/** Reads of who pulled what. */
export function pullReads(db: Db, { find }: Pick<RepositoryReads, 'find'>) {
  const page = (isOf: (tag: Placeholder) => SQL | undefined) =>
    statement(
      db,
      { repositoryId: number, tag: text, day: number, id: number, limit: number },
      ({ repositoryId, tag, day, id, limit }) =>
        db
          .select()
          .from(pull)
          .where(
            and(
              eq(pull.repositoryId, repositoryId),
              isOf(tag),
              sql`(${pull.day}, ${pull.id}) < (${day}, ${id})`,
            ),
          )
          .orderBy(desc(pull.day), desc(pull.id))
          .limit(limit),
    )
  const all = page(() => undefined)
  const ofTag = page((tag) => eq(pull.tag, tag))
  return {
    /** Lists at most `limit` rows after `after`, newest day first. Undefined without such a repository. */
    list(
      name: RepositoryName,
      tag: Tag | undefined,
      { day, id }: PullKey,
      limit: number,
    ): PullRow[] | undefined {
      const repositoryId = find(name)
      if (repositoryId === undefined) return undefined
      return (tag === undefined ? all : ofTag)
        .all({ repositoryId, tag: tag ?? '', day, id, limit })
        .map(({ id, day, tag, account, pulls }) => ({
          id,
          day,
          tag: tag === '' ? undefined : (tag as Tag),
          account: account === '' ? undefined : account,
          pulls,
        }))
    },
  }
}
