import { eq, gte, isNull, or, type Placeholder, type SQL, sql } from 'drizzle-orm'
import { SYSTEM, type Write } from '../access/access.ts'
import type { Db } from '../database/database.ts'
import { CONTENT_STALE, partTime, type Stale, within } from '../database/operation.ts'
import {
  blob,
  manifest,
  manifestBytes,
  manifestDigest,
  manifestReference,
  repository,
  repositoryBlob,
} from '../database/schema.ts'
import { bytes, deleteBy, number, optional, selectBy, statement, text } from '../database/statement.ts'
import {
  companionTags,
  type Digest,
  digestFromBytes,
  digestToBytes,
  type RepositoryName,
  type Tag,
} from '../oci/reference.ts'
import type { GarbageWindow, Rows } from '../registry/store.ts'

declare module '../database/metadata.ts' {
  interface Operations extends ReturnType<typeof purgeWrites> {}
}

/** What is purged: in one repository or in all of them; there, everything or one manifest. */
export interface PurgeTarget {
  repository: RepositoryName | undefined
  digest: Digest | undefined
}

interface PurgeCall extends PurgeTarget, Write {
  /** The clock for deletions, in milliseconds since 1970. */
  until: number
  garbageWindow: GarbageWindow
  /** The time of the last push. Content that loses its last reference here has been garbage since then. */
  pushedAt: number
  /** The maximum rows that are changed. */
  limit: number
}

export interface PurgeBatch {
  repositories: number
  manifests: number
  /** Tags that were left of interrupted deletions. */
  tags: number
  more: boolean
  stale: Stale | undefined
}

const target = { repository: optional(text), digest: optional(bytes) }

/** A condition on rows of `manifest`. */
const isIn = ({ repository, digest }: { repository: Placeholder; digest: Placeholder }): SQL => sql`
  (${repository} is null or manifest.repository_id =
    (select id from repository where name = ${repository} and deleted_at is null))
  and (${digest} is null or manifest.digest = ${digest}
    or manifest.id in (select manifest_id from manifest_digest where digest = ${digest}))`

const rowOf = (call: PurgeTarget) => ({
  repository: call.repository ?? null,
  digest: call.digest === undefined ? null : digestToBytes(call.digest),
})

/** The time as garbage that lets content be collected one grace period after the last push. */
const stampOf = ({ graceMs, windowMs }: GarbageWindow, pushedAt: number) => pushedAt + graceMs - windowMs

/** Writes that end the undo window early, each a bounded batch. */
export function purgeWrites(db: Db, { recordEvent, repositories: rows }: Rows, { purge }: ManifestPurge) {
  const { repositories, expire, manifests, postponeManifests, postponeBlobs } = purgeStatements(db)
  return {
    /**
     * Ends the undo window of deleted repositories, and of manifests that lost their last tag, which then stay for
     * one grace period after the last push.
     */
    expireWindows(call: PurgeCall): PurgeBatch {
      const { caller, at, limit, garbageWindow, pushedAt } = call
      const named = rowOf(call)
      const deleted =
        call.digest === undefined ? repositories.all({ repository: named.repository, from: 1, limit }) : []
      for (const { id, name } of deleted) {
        rows.setDeleted(id, 0)
        recordEvent({ type: 'repository.purge', repository: name as RepositoryName }, caller, at)
      }
      const expired = expire.all({ ...named, stamp: stampOf(garbageWindow, pushedAt), limit }).length
      const more = deleted.length === limit || expired === limit
      const stale = expired > 0 ? 'content' : undefined
      return { repositories: deleted.length, manifests: expired, tags: 0, more, stale }
    },

    /** Removes manifests whose undo window has ended. Their blobs are unreferenced since the last push. */
    purgeManifests(call: PurgeCall): PurgeBatch {
      const { caller, at, until, garbageWindow, pushedAt, limit } = call
      const before = until - garbageWindow.windowMs
      const rows = manifests.all({ ...rowOf(call), before, limit }) as PurgedManifest[]
      const isOver = partTime()
      const purged = { manifests: 0, tags: 0 }
      const begun = within(
        rows,
        (row) => {
          const step = purge(row, { at, since: before, releasedAt: pushedAt, isOver })
          purged.tags += step.tags
          if (step.isUnfinished) return
          const digest = digestFromBytes(row.digest)
          recordEvent({ type: 'manifest.purge', repository: row.repository, digest }, caller, at)
          purged.manifests++
        },
        isOver,
      )
      const more = rows.length === limit || purged.manifests < rows.length
      return { repositories: 0, ...purged, more, stale: begun > 0 ? 'content' : undefined }
    },

    /** Corrects the marks that a purge dated by the last push, if there was a newer push meanwhile. */
    postponePurged(call: Pick<PurgeCall, 'repository' | 'garbageWindow' | 'pushedAt'> & { newerAt: number }) {
      const { repository = null, garbageWindow, pushedAt, newerAt } = call
      const [stamp, newer] = [stampOf(garbageWindow, pushedAt), stampOf(garbageWindow, newerAt)]
      postponeManifests.run({ repository, stamp, newer })
      postponeBlobs.run({ repository, stamp: pushedAt, newer: newerAt })
      return CONTENT_STALE
    },
  }
}

function purgeStatements(db: Db) {
  const postponed = { repository: optional(text), stamp: number, newer: number }
  const postpone = (table: 'manifest' | 'repository_blob') =>
    statement(
      db,
      postponed,
      ({ repository: name, stamp, newer }) =>
        sql`update ${sql.identifier(table)} set unreferenced_at = ${newer} where unreferenced_at = ${stamp} and (${name}
          is null or repository_id in (select id from repository where name = ${name} and deleted_at is null))`,
    )
  return {
    repositories: statement(
      db,
      { repository: optional(text), from: number, limit: number },
      ({ repository: name, from, limit }) =>
        db
          .select({ id: repository.id, name: repository.name })
          .from(repository)
          .where(
            sql`${gte(repository.deletedAt, from)} and (${name} is null or ${repository.name} = ${name})`,
          )
          .limit(limit),
    ),
    expire: statement(db, { ...target, stamp: number, limit: number }, ({ stamp, limit, ...named }) =>
      db
        .update(manifest)
        .set({ unreferencedAt: sql`${stamp}` })
        .where(
          sql`manifest.id in (select manifest.id from manifest
            where manifest.unreferenced_at > ${stamp} and manifest.deleted_at is null and ${isIn(named)}
            limit ${limit})`,
        )
        .returning({ id: manifest.id }),
    ),
    manifests: statement(db, { ...target, before: number, limit: number }, ({ before, limit, ...named }) =>
      db
        .select(purgedColumns)
        .from(manifest)
        .innerJoin(repository, eq(repository.id, manifest.repositoryId))
        .where(
          sql`${isNull(repository.deletedAt)} and ${or(
            sql`manifest.deleted_at > 0`,
            sql`manifest.unreferenced_at < ${before}`,
          )} and ${isIn(named)}`,
        )
        .limit(limit),
    ),
    postponeManifests: postpone('manifest'),
    postponeBlobs: postpone('repository_blob'),
  }
}

/** A manifest to delete. */
export type PurgedManifest = Pick<
  typeof manifest.$inferSelect,
  'id' | 'repositoryId' | 'digest' | 'size' | 'deletedAt'
> & { repository: RepositoryName }

/** The same, as a query of manifests and their repositories selects it. */
export const purgedColumns = {
  id: manifest.id,
  repositoryId: manifest.repositoryId,
  repository: repository.name,
  digest: manifest.digest,
  size: manifest.size,
  deletedAt: manifest.deletedAt,
}

/** When a manifest is removed, and what remains is garbage, in milliseconds since 1970. */
interface PurgeStep {
  at: number
  since: number
  releasedAt?: number
  /** Reports whether the part's time is over. */
  isOver: () => boolean
}

/** How many tags are read at once. */
const TAGS_READ = 200

export type ManifestPurge = ReturnType<typeof manifestPurge>

/** Permanently deletes manifests: their rows, and with the last row of a digest its bytes. */
export function manifestPurge(db: Db, { recordEvent, reach, manifests, tags }: Rows) {
  const { otherDigests, releaseBlobs, removals, removeRow, removeBytes } = manifestPurgeStatements(db)
  /**
   * Removes the row and what belongs to it. Its blobs are unreferenced since `at`. Returns the bytes that are freed.
   */
  const remove = (
    { id, repositoryId, digest, size }: Omit<PurgedManifest, 'repository' | 'deletedAt'>,
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
    purge(row: PurgedManifest, { at, since, releasedAt = at, isOver }: PurgeStep) {
      const { repositoryId, repository } = row
      const digests = [row, ...otherDigests.all({ manifestId: row.id })].map(({ digest }) => digest)
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
        manifests.hide(row.id, at)
        reach.vanished(row.id, since)
        recordEvent({ type: 'manifest.delete', repository, digest: digestFromBytes(row.digest) }, SYSTEM, at)
      }
      for (const digest of digests) for (const tag of companionTags(digestFromBytes(digest))) removeTag(tag)
      return { bytes: remove(row, releasedAt), tags: removed, isUnfinished: false }
    },
  }
}

function manifestPurgeStatements(db: Db) {
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

export type DropLink = ReturnType<typeof dropLink>

/** Removes a link. With a blob's last link, also removes and returns the blob's row. */
export function dropLink(db: Db) {
  const unlink = deleteBy(db, repositoryBlob, 'blobId', 'repositoryId')
  const remove = statement(db, { blobId: number }, ({ blobId }) =>
    db
      .delete(blob)
      .where(
        sql`${blob.id} = ${blobId} and not exists (select 1 from repository_blob l where l.blob_id = blob.id)`,
      )
      .returning({ digest: blob.digest, size: blob.size }),
  )
  return (link: { repositoryId: number; blobId: number }): { digest: Digest; size: number }[] => {
    unlink.run(link)
    return remove.all(link).map(({ digest, size }) => ({ digest: digestFromBytes(digest), size }))
  }
}
