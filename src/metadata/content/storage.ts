import { and, asc, desc, eq, gt, isNull, sql } from 'drizzle-orm'
import type { RepositoryName } from '../../oci/reference.ts'
import { turn } from '../../turn.ts'
import type { Db } from '../database.ts'
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
          : byIds.all({ ids: JSON.stringify(await largest(cursor, limit)) })
      return rows.map((row) => ({ ...row, name: row.name as RepositoryName }))
    },

    /** Returns what a repository holds that is not deleted. */
    find(name: RepositoryName): RepositoryStorage | undefined {
      const row = named.get({ name })
      return row && { ...row, name }
    },
  }
}

/** How many rows are examined in one turn of some milliseconds. */
const ROWS_A_TURN = 1000

/** Finds the ids of the largest repositories. No index has them in this order, because each push would have to update it. */
function largestRepositories(db: Db) {
  const some = statement(db, { after: number, limit: number }, ({ after, limit }) =>
    db
      .select({ id: repository.id, bytes: repository.blobBytes })
      .from(repository)
      .where(gt(repository.id, after))
      .orderBy(asc(repository.id))
      .limit(limit),
  )
  return async ({ bytes, id }: { bytes: number; id: number }, limit: number): Promise<number[]> => {
    let found: { id: number; bytes: number }[] = []
    for (let after = 0; ; await turn()) {
      const rows = some.all({ after, limit: ROWS_A_TURN })
      const isAfter = (row: { id: number; bytes: number }) =>
        row.bytes < bytes || (row.bytes === bytes && row.id > id)
      found.push(...rows.filter(isAfter))
      found = found.sort((a, b) => b.bytes - a.bytes || a.id - b.id).slice(0, limit)
      const last = rows.at(-1)
      if (last === undefined || rows.length < ROWS_A_TURN) return found.map((row) => row.id)
      after = last.id
    }
  }
}
