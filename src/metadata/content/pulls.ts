import { and, asc, count, desc, eq, inArray, lt, type Placeholder, type SQL, sql } from 'drizzle-orm'
import type { RepositoryName, Tag } from '../../oci/reference.ts'
import type { Db } from '../database.ts'
import { insertInto } from '../rows.ts'
import { pull } from '../schema/pull-schema.ts'
import { number, statement, text } from '../statement.ts'
import type { RepositoryReads } from './repositories/repositories.ts'

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
export function pullCounter(db: Db) {
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
