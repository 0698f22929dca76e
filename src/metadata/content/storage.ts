import { and, asc, desc, eq, gt, isNull, lt, or } from 'drizzle-orm'
import type { RepositoryName } from '../../oci/reference.ts'
import type { Db } from '../database.ts'
import { repository } from '../schema.ts'
import type { ReadTotal } from './totals.ts'

/** What one repository holds. The bytes of blobs that are hidden count until the collector has removed them. */
export interface RepositoryStorage {
  id: number
  name: RepositoryName
  /** The blobs that it links. */
  blobs: number
  bytes: number
  /** The bytes of those that no other repository links: what goes from the disk with the repository. */
  ownBytes: number
}

/** The entry before a page, by what the list is sorted by. */
export type StorageCursor = { by: 'name'; name: string } | { by: 'bytes'; bytes: number; id: number }

/** Reads of how much is stored. */
export function storageReads(db: Db, total: ReadTotal) {
  const columns = {
    id: repository.id,
    name: repository.name,
    blobs: repository.blobCount,
    bytes: repository.blobBytes,
    ownBytes: repository.ownBytes,
  }
  const read = (cursor: StorageCursor, limit: number) => {
    const isByName = cursor.by === 'name'
    const after = isByName
      ? gt(repository.name, cursor.name)
      : or(
          lt(repository.blobBytes, cursor.bytes),
          and(eq(repository.blobBytes, cursor.bytes), gt(repository.id, cursor.id)),
        )
    const order = isByName ? [asc(repository.name)] : [desc(repository.blobBytes), asc(repository.id)]
    const isShown = and(isNull(repository.deletedAt), after)
    return db
      .select(columns)
      .from(repository)
      .where(isShown)
      .orderBy(...order)
      .limit(limit)
      .all()
  }
  return {
    /** All blobs, each once, whichever repositories link it. */
    totals: (): { blobs: number; bytes: number } => ({
      blobs: total('blob.count'),
      bytes: total('blob.bytes'),
    }),

    /** At most `limit` repositories after the cursor: by name, or the largest first. */
    list: (cursor: StorageCursor, limit: number): RepositoryStorage[] =>
      read(cursor, limit).map((row) => ({ ...row, name: row.name as RepositoryName })),

    /** What a repository that is not deleted holds. */
    find(name: RepositoryName): RepositoryStorage | undefined {
      const isNamed = and(eq(repository.name, name), isNull(repository.deletedAt))
      const row = db.select(columns).from(repository).where(isNamed).get()
      return row && { ...row, name }
    },
  }
}
