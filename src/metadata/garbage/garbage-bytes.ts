import { type Placeholder, type SQL, sql } from 'drizzle-orm'
import type { Db } from '../database.ts'
import { bytes, number, statement } from '../statement.ts'

/** The maximum manifests that are examined for one candidate. The bytes of further ones are not counted. */
const MANIFESTS_MAX = 100
const LIMIT = sql.raw(`limit ${MANIFESTS_MAX}`)

interface Named {
  digest: Buffer
}

export type GarbageBytes = ReturnType<typeof garbageBytes>

/**
 * Returns how many bytes deleting a manifest frees, including everything that only it references. A blob of several
 * garbage manifests counts for the first of them.
 */
export function garbageBytes(db: Db) {
  const ofManifest = <Row>(build: (id: Placeholder) => SQL<Row>) =>
    statement(db, { id: number }, ({ id }) => build(id))
  const reachable = ofManifest<{ id: number }>(
    (id) => sql`select c.id from manifest_reference r
       join manifest c on c.digest = r.digest and c.repository_id = r.repository_id
       where r.manifest_id = ${id} and r.role = 'child' and c.deleted_at is null and c.unreferenced_at is null
     union all select f.id from manifest m join manifest f on f.repository_id = m.repository_id and f.subject = m.digest
       where m.id = ${id} and f.deleted_at is null and f.unreferenced_at is null ${LIMIT}`,
  )
  const reachers = ofManifest<{ id: number }>(
    (id) => sql`select 0 as id where exists (select 1 from tag where manifest_id = ${id})
     union all select r.manifest_id from manifest c
       join manifest_reference r on r.digest = c.digest and r.repository_id = c.repository_id and r.role = 'child'
       join manifest p on p.id = r.manifest_id where c.id = ${id} and p.deleted_at is null
     union all select s.id from manifest f join manifest s on s.digest = f.subject and s.repository_id = f.repository_id
       where f.id = ${id} and s.deleted_at is null
     ${LIMIT}`,
  )
  const ownBytes = ofManifest<{ size: number }>(
    (id) => sql`select m.size from manifest m where m.id = ${id}
       and not exists (select 1 from manifest o where o.digest = m.digest and o.id <> m.id)`,
  )
  const ownBlobs = ofManifest<Named & { id: number; size: number }>(
    (id) => sql`select b.id, b.digest, b.size from manifest_reference r join blob b on b.digest = r.digest
     join repository_blob l on l.blob_id = b.id and l.repository_id = r.repository_id
     where r.manifest_id = ${id} and l.unreferenced_at is null and not exists (
       select 1 from repository_blob o where o.blob_id = b.id and o.repository_id <> r.repository_id)`,
  )
  const users = statement(
    db,
    { digest: bytes, repositoryId: number },
    ({ digest, repositoryId }) =>
      sql<{ id: number; isGarbage: number }>`select r.manifest_id as id,
        m.deleted_at is not null or m.unreferenced_at is not null as isGarbage
      from manifest_reference r join manifest m on m.id = r.manifest_id
      where r.digest = ${digest} and r.repository_id = ${repositoryId} ${LIMIT}`,
  )
  /** The manifest, and what is deleted with it. */
  const wholeOf = (root: number): Set<number> => {
    const whole = new Set([root])
    for (const id of whole) {
      for (const next of reachable.all({ id })) {
        if (whole.size >= MANIFESTS_MAX) return whole
        if (reachers.all({ id: next.id }).every((reacher) => whole.has(reacher.id))) whole.add(next.id)
      }
    }
    return whole
  }
  return (repositoryId: number, root: number): number => {
    const whole = wholeOf(root)
    const blobs = new Map<number, number>()
    let bytes = 0
    for (const id of whole) {
      bytes += ownBytes.get({ id })?.size ?? 0
      for (const blob of ownBlobs.all({ id })) {
        if (blobs.has(blob.id)) continue
        const others = users.all({ digest: blob.digest, repositoryId }).filter((user) => !whole.has(user.id))
        const isOurs =
          others.length < MANIFESTS_MAX && others.every(({ id, isGarbage }) => isGarbage && id > root)
        blobs.set(blob.id, isOurs ? blob.size : 0)
      }
    }
    return bytes + blobs.values().reduce((sum, size) => sum + size, 0)
  }
}
