import { type SQL, sql } from 'drizzle-orm'
import { WHOLE_SERVER } from '../../domain/quota.ts'
import { turn } from '../../turn.ts'
import type { Db } from '../database.ts'
import { number, statement, text } from '../statement.ts'

/** How many blobs are examined in one turn, and in total. */
const BLOBS_READ = 10
const BLOBS_MAX = 20_000

/** How many manifests are examined for each blob. A blob that more of them need counts as in use. */
const USERS_MAX = 200

/** How much of a namespace's content a purge would free. */
export interface DeletedBytes {
  bytes: number
  /** Whether there may be more, because not every blob was examined. */
  isPart: boolean
}

/**
 * Returns how many bytes of a namespace, or of the whole server (`**`), only deleted or untagged manifests need.
 * Other requests get a turn in between.
 */
export function deletedReader(db: Db) {
  const ofNamespace = statement(
    db,
    { namespace: text, after: number, limit: number },
    ({ namespace, after, limit }) => sql<{ id: number; bytes: number }>`
      select b.id, iif(${isDeleted(sql`(p.name = ${namespace} or p.name glob ${namespace} || '/*')`)}, b.size, 0) as bytes
      from namespace_blob n join blob b on b.id = n.blob_id
      where n.namespace = ${namespace} and n.blob_id > ${after} order by n.blob_id limit ${limit}`,
  )
  const ofServer = statement(
    db,
    { after: number, limit: number },
    ({ after, limit }) => sql<{ id: number; bytes: number }>`
      select b.id, iif(${isDeleted(sql`p.upstream is null`)}, b.size, 0) as bytes
      from blob b where not b.is_cached and b.id > ${after} order by b.id limit ${limit}`,
  )
  return async (namespace: string): Promise<DeletedBytes> => {
    let bytes = 0
    let after = 0
    for (let looked = 0; looked < BLOBS_MAX; looked += BLOBS_READ) {
      const page = { after, limit: BLOBS_READ }
      const rows = namespace === WHOLE_SERVER ? ofServer.all(page) : ofNamespace.all({ namespace, ...page })
      for (const row of rows) bytes += row.bytes
      if (rows.length < BLOBS_READ) return { bytes, isPart: false }
      after = rows.at(-1)?.id ?? after
      await turn()
    }
    return { bytes, isPart: true }
  }
}

/** Tests whether manifests need the blob `b`, but none of them is in use. */
function isDeleted(isMeant: SQL): SQL {
  const users = (isInUse: SQL) => sql`exists (select 1 from manifest_reference r
    join manifest m on m.id = r.manifest_id join repository p on p.id = m.repository_id
    where r.digest = b.digest and ${isMeant} and ${isInUse})`
  const inUse = sql`m.deleted_at is null and m.unreferenced_at is null and p.deleted_at is null`
  const max = sql.raw(String(USERS_MAX))
  const count = sql`(select count(*) from (select 1 from manifest_reference r where r.digest = b.digest
    limit ${max} + 1))`
  return sql`(${count} <= ${max} and not ${users(inUse)} and ${users(sql`true`)})`
}
