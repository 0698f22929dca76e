import { sql } from 'drizzle-orm'
import { SYSTEM } from '../../domain/access/caller.ts'
import { digestFromBytes } from '../../oci/digest.ts'
import { companionTags, type RepositoryName, type Tag } from '../../oci/reference.ts'
import type { ManifestRows } from '../content/manifests/manifest-rows.ts'
import type { TagRows } from '../content/tags/tag-rows.ts'
import type { Db } from '../database.ts'
import type { RecordEvent } from '../events.ts'
import { deleteBy, selectBy } from '../rows.ts'
import {
  manifest,
  manifestBytes,
  manifestDigest,
  manifestReference,
  repositoryBlob,
} from '../schema/schema.ts'
import { bytes, number, statement } from '../statement.ts'
import { within } from '../writer/part-time.ts'
import type { Reachability } from './reachability.ts'

/** A manifest to delete. */
export interface PurgedManifest {
  id: number
  repositoryId: number
  repository: RepositoryName
  digest: Buffer
  size: number
  deletedAt: number | null
}

/** When a manifest is removed, and what remains is garbage, in milliseconds since 1970. */
interface PurgeStep {
  at: number
  since: number
  releasedAt?: number
  /** Reports whether the part's time is over. */
  isOver: () => boolean
}

interface PurgeResult {
  bytes: number
  tags: number
  isUnfinished: boolean
}

/** How many tags are read at once. */
const TAGS_READ = 200

export type ManifestPurge = ReturnType<typeof manifestPurge>

/** Permanently deletes manifests: their rows, and with the last row of a digest its bytes. */
export function manifestPurge(
  db: Db,
  {
    recordEvent,
    reach,
    rows,
    tags,
  }: { recordEvent: RecordEvent; reach: Reachability; rows: ManifestRows; tags: TagRows },
) {
  const { otherDigests, releaseBlobs, removals, removeRow, removeBytes } = purgeStatements(db)
  /**
   * Removes the row and what belongs to it. Its blobs are unreferenced since `at`. Returns the bytes that are freed.
   */
  const remove = (
    { id, repositoryId, digest, size }: Omit<PurgedManifest, 'repository'>,
    at: number,
  ): number => {
    releaseBlobs.run({ id, repositoryId, at })
    for (const removal of removals) removal.run({ manifestId: id })
    removeRow.run({ id })
    return removeBytes.get({ digest }) === undefined ? 0 : size
  }
  return {
    remove,

    /**
     * Removes a manifest from a repository that stays. What only it references is garbage since `since`, and its
     * blobs since `releasedAt`. Tags that belong to it by their names are removed with it. Returns the bytes that are
     * freed, and the number of removed tags. If the time is over before the last tag, the manifest stays: the next
     * call continues.
     */
    purge(row: PurgedManifest, { at, since, releasedAt = at, isOver }: PurgeStep): PurgeResult {
      const { repositoryId, repository } = row
      const digests = [
        row.digest,
        ...otherDigests.all({ manifestId: row.id }).map(({ digest }) => digest),
      ].map(digestFromBytes)
      let removed = 0
      const removeTag = (tag: Tag) => {
        const found = tags.find(repositoryId, tag, at)
        if (found === undefined) return
        tags.remove(repositoryId, tag, found, { caller: SYSTEM, at, act: 'tag.delete' })
        recordEvent({ type: 'tag.delete', repository, tag }, SYSTEM, at)
        removed++
      }
      // An interrupted deletion leaves tags, of which there may be very many.
      for (;;) {
        const names = tags.pointingAt(row.id, TAGS_READ)
        if (within(names, removeTag, isOver) < names.length)
          return { bytes: 0, tags: removed, isUnfinished: true }
        if (names.length < TAGS_READ) break
      }
      if (row.deletedAt === null) {
        rows.hide(row.id, at)
        reach.vanished(row.id, since)
        recordEvent({ type: 'manifest.delete', repository, digest: digestFromBytes(row.digest) }, SYSTEM, at)
      }
      for (const tag of digests.flatMap(companionTags)) removeTag(tag)
      return { bytes: remove(row, releasedAt), tags: removed, isUnfinished: false }
    },
  }
}

function purgeStatements(db: Db) {
  const otherDigests = selectBy(db, manifestDigest, 'manifestId')
  const releaseBlobs = statement(
    db,
    { id: number, repositoryId: number, at: number },
    ({ id, repositoryId, at }) =>
      db
        .update(repositoryBlob)
        .set({ unreferencedAt: sql`${at}` })
        .where(
          sql`repository_blob.repository_id = ${repositoryId} and repository_blob.unreferenced_at is null
            and repository_blob.blob_id in (
              select b.id from manifest_reference r join blob b on b.digest = r.digest
              where r.manifest_id = ${id} and not exists (select 1 from manifest_reference o
                where o.digest = r.digest and o.repository_id = r.repository_id and o.manifest_id <> r.manifest_id))`,
        ),
  )
  const removals = [deleteBy(db, manifestReference, 'manifestId'), deleteBy(db, manifestDigest, 'manifestId')]
  const removeRow = deleteBy(db, manifest, 'id')
  const removeBytes = statement(db, { digest: bytes }, ({ digest }) =>
    db
      .delete(manifestBytes)
      .where(
        sql`manifest_bytes.digest = ${digest}
          and not exists (select 1 from manifest m where m.digest = ${digest})`,
      )
      .returning({ digest: manifestBytes.digest }),
  )
  return { otherDigests, releaseBlobs, removals, removeRow, removeBytes }
}
