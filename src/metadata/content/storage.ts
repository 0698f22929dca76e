import { and, asc, desc, eq, gt, isNull, sql } from 'drizzle-orm'
import type { RepositoryName } from '../../oci/reference.ts'
import type { Db } from '../database.ts'
import { firstRows } from '../first-rows.ts'
import { repository } from '../schema/schema.ts'
import { number, statement, text } from '../statement.ts'
import type { ReadTotal } from './totals.ts'

/** What one repository holds. The bytes of deleted blobs count until they are collected. */
export interface RepositoryStorage {
  id: number
  name: RepositoryName
  /** The blobs that it links. */
  blobs: number
  bytes: number
  /** The bytes of those that no other repository links, which are freed with the repository. */
  ownBytes: number
  /** The upstream that its content is cached from; null for a local one. */
  upstream: string | null
  /** When it was deleted, in milliseconds since 1970. Only the list by bytes has deleted repositories. */
  deletedAt: number | null
}

/** The entry before a page, with the values that the list is sorted by. */
export type StorageCursor = { by: 'name'; name: string } | { by: 'bytes'; bytes: number; id: number }

/** Reads of how much is stored. */
export function storageReads(db: Db, total: ReadTotal) {
  const columns = {
    id: repository.id,
    name: repository.name,
    blobs: repository.blobCount,
    bytes: repository.blobBytes,
    ownBytes: repository.ownBytes,
    upstream: repository.upstream,
    deletedAt: repository.deletedAt,
  }
  const byName = statement(db, { last: text, limit: number }, ({ last, limit }) =>
    db
      .select(columns)
      .from(repository)
      .where(and(isNull(repository.deletedAt), gt(repository.name, last)))
      .orderBy(asc(repository.name))
      .limit(limit),
  )
  const largest = largestRepositories(db)
  const byIds = statement(db, { ids: text }, ({ ids }) =>
    db
      .select(columns)
      .from(repository)
      .where(sql`${repository.id} in (select value from json_each(${ids}))`)
      .orderBy(desc(repository.blobBytes), asc(repository.id)),
  )
  const named = statement(db, { name: text }, ({ name }) =>
    db
      .select(columns)
      .from(repository)
      .where(and(eq(repository.name, name), isNull(repository.deletedAt))),
  )
  return {
    /** Returns the count and bytes of all blobs, each counted once. */
    totals: (): { blobs: number; bytes: number } => ({
      blobs: total('blob.count'),
      bytes: total('blob.bytes'),
    }),

    /** Returns at most `limit` repositories after the cursor: by name, or the largest first, including deleted ones. */
    async list(cursor: StorageCursor, limit: number): Promise<RepositoryStorage[]> {
      const rows =
        cursor.by === 'name'
          ? byName.all({ last: cursor.name, limit })
          : byIds.all({ ids: await largest(cursor, limit) })
      return rows.map((row) => ({ ...row, name: row.name as RepositoryName }))
    },

    /** Returns what a repository holds that is not deleted. */
    find(name: RepositoryName): RepositoryStorage | undefined {
      const row = named.get({ name })
      return row && { ...row, name }
    },
  }
}

/** Finds the ids of the largest repositories, as a JSON array. */
function largestRepositories(db: Db) {
  type Row = { id: number; bytes: number }
  const some = statement(db, { after: number, limit: number }, ({ after, limit }) =>
    db
      .select({ id: repository.id, bytes: repository.blobBytes })
      .from(repository)
      .where(gt(repository.id, after))
      .orderBy(asc(repository.id))
      .limit(limit),
  )
  const read = (last: Row | undefined, limit: number) => some.all({ after: last?.id ?? 0, limit })
  const compare = (a: Row, b: Row) => b.bytes - a.bytes || a.id - b.id
  return async (after: Row, limit: number): Promise<string> =>
    JSON.stringify((await firstRows(read, compare, limit, after)).map(({ id }) => id))
}
