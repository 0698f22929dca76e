import { asc, eq, gt, sql } from 'drizzle-orm'
import type { DigestAlgorithm } from '../oci/digest.ts'
import type { RepositoryName } from '../oci/reference.ts'
import type { Db } from './database.ts'
import { upload } from './schema.ts'

export interface UploadRow {
  id: string
  repository: RepositoryName
  algorithm: DigestAlgorithm
  startedAt: number
  account: string | null
}

export type UploadReads = ReturnType<typeof uploadReads>

/** Reads of uploads in progress. */
export function uploadReads(db: Db) {
  const byId = db
    .select()
    .from(upload)
    .where(eq(upload.id, sql.placeholder('id')))
    .prepare()
  return {
    find: (id: string): UploadRow | undefined => byId.get({ id }) as UploadRow | undefined,

    /** At most `limit` uploads after the id `last`, in the order of their ids. */
    list: (last: string, limit: number): UploadRow[] =>
      db
        .select()
        .from(upload)
        .where(gt(upload.id, last))
        .orderBy(asc(upload.id))
        .limit(limit)
        .all() as UploadRow[],
  }
}

/** Writes of uploads. Neither is acknowledged as stored: both are committed without a sync of their own. */
export function uploadWrites(db: Db) {
  const insert = db
    .insert(upload)
    .values({
      id: sql.placeholder('id'),
      repository: sql.placeholder('repository'),
      algorithm: sql.placeholder('algorithm'),
      startedAt: sql.placeholder('startedAt'),
      account: sql.placeholder('account'),
    })
    .prepare()
  const remove = db
    .delete(upload)
    .where(eq(upload.id, sql.placeholder('id')))
    .prepare()
  return {
    startUpload(row: UploadRow): void {
      insert.run({ ...row })
    },
    endUpload(call: { id: string }): void {
      remove.run(call)
    },
  }
}
