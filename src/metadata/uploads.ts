import { eq, sql } from 'drizzle-orm'
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

    /** Uploads that started before a time, oldest first, at most `limit` of them after `last`. */
    startedBefore(at: number, limit: number, last: { startedAt: number; id: string }): UploadRow[] {
      return db
        .select()
        .from(upload)
        .where(sql`${upload.startedAt} < ${at}
          and (${upload.startedAt}, ${upload.id}) > (${last.startedAt}, ${last.id})`)
        .orderBy(upload.startedAt, upload.id)
        .limit(limit)
        .all() as UploadRow[]
    },
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
