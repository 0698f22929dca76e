import type { Db } from '../database.ts'

/** Manifests that are looked at for one candidate at most; what more go with it is not counted. */
const MANIFESTS_MAX = 100

interface Named {
  digest: Buffer
}

/**
 * Says how many bytes are free when a manifest has gone, with what only it reaches. A blob of several manifests that are
 * garbage counts for the first of them.
 */
export function garbageBytes({ $client }: Db) {
  const reachable = $client.query<{ id: number }, { $id: number }>(
    `select c.id from manifest_reference r
       join manifest c on c.digest = r.digest and c.repository_id = r.repository_id
       where r.manifest_id = $id and r.role = 'child' and c.deleted_at is null and c.unreferenced_at is null
     union all select f.id from manifest m join manifest f on f.repository_id = m.repository_id and f.subject = m.digest
       where m.id = $id and f.deleted_at is null and f.unreferenced_at is null limit ${MANIFESTS_MAX}`,
  )
  const reachers = $client.query<{ id: number }, { $id: number }>(
    `select 0 as id where exists (select 1 from tag where manifest_id = $id)
     union all select r.manifest_id from manifest c
       join manifest_reference r on r.digest = c.digest and r.repository_id = c.repository_id and r.role = 'child'
       join manifest p on p.id = r.manifest_id where c.id = $id and p.deleted_at is null
     union all select s.id from manifest f join manifest s on s.digest = f.subject and s.repository_id = f.repository_id
       where f.id = $id and s.deleted_at is null
     limit ${MANIFESTS_MAX}`,
  )
  const ownBytes = $client.query<{ size: number }, { $id: number }>(
    `select m.size from manifest m where m.id = $id
       and not exists (select 1 from manifest o where o.digest = m.digest and o.id <> m.id)`,
  )
  const ownBlobs = $client.query<Named & { id: number; size: number }, { $id: number }>(
    `select b.id, b.digest, b.size from manifest_reference r join blob b on b.digest = r.digest
     join repository_blob l on l.blob_id = b.id and l.repository_id = r.repository_id
     where r.manifest_id = $id and l.unreferenced_at is null and not exists (
       select 1 from repository_blob o where o.blob_id = b.id and o.repository_id <> r.repository_id)`,
  )
  const users = $client.query<{ id: number; isGarbage: number }, [Buffer, number]>(
    `select r.manifest_id as id, m.deleted_at is not null or m.unreferenced_at is not null as isGarbage
     from manifest_reference r join manifest m on m.id = r.manifest_id
     where r.digest = ? and r.repository_id = ? limit ${MANIFESTS_MAX}`,
  )
  /** The manifest, and what goes because of it. */
  const wholeOf = (root: number): Set<number> => {
    const whole = new Set([root])
    for (const id of whole) {
      for (const next of reachable.all({ $id: id })) {
        if (whole.size >= MANIFESTS_MAX) return whole
        if (reachers.all({ $id: next.id }).every((reacher) => whole.has(reacher.id))) whole.add(next.id)
      }
    }
    return whole
  }
  return (repositoryId: number, root: number): number => {
    const whole = wholeOf(root)
    const blobs = new Map<number, number>()
    let bytes = 0
    for (const id of whole) {
      bytes += ownBytes.get({ $id: id })?.size ?? 0
      for (const blob of ownBlobs.all({ $id: id })) {
        if (blobs.has(blob.id)) continue
        const others = users.all(blob.digest, repositoryId).filter((user) => !whole.has(user.id))
        const isOurs =
          others.length < MANIFESTS_MAX && others.every(({ id, isGarbage }) => isGarbage && id > root)
        blobs.set(blob.id, isOurs ? blob.size : 0)
      }
    }
    return bytes + blobs.values().reduce((sum, size) => sum + size, 0)
  }
}
