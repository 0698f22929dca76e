import { and, asc, eq, lt, sql } from 'drizzle-orm'
import { type Digest, digestFromBytes } from '../../oci/digest.ts'
import type { RepositoryRows } from '../content/repositories/repository-writes.ts'
import type { Db } from '../database.ts'
import { deleteBy } from '../rows.ts'
import { blob, manifest, repository, repositoryBlob, tag, tagHistory } from '../schema/schema.ts'
import { number, statement } from '../statement.ts'
import { partTime, within } from '../writer/part-time.ts'
import { batchOf, type CollectionBatch, type CollectionCall } from './collection.ts'
import type { ManifestPurge } from './manifest-purge.ts'

/** A batch that has removed rows of blobs. After the commit, the store must remove their bytes. */
export interface BlobBatch extends CollectionBatch {
  repositories: number
  blobs: { digest: Digest; size: number }[]
}

/** How many rows of a repository one statement removes. */
const ROWS_AT_ONCE = 100

const link = { repositoryId: number, blobId: number }

interface CollectedParts extends Pick<RepositoryRows, 'setDeleted'> {
  purge: ManifestPurge
  drop: DropLink
  /** Also removes a cached repository that becomes empty. */
  dropLoose: DropLink
}

/** Writes of the collector for blobs, and for whole repositories, each a bounded batch. */
export function blobCollectionWrites(db: Db, { purge, drop, dropLoose, setDeleted }: CollectedParts) {
  const repositories = deletedRepositories(db, { drop, remove: purge.remove, setDeleted })
  const candidates = statement(db, { before: number, limit: number }, ({ before, limit }) =>
    db
      .select({
        repositoryId: repositoryBlob.repositoryId,
        blobId: repositoryBlob.blobId,
        isNamed: sql<number>`exists (
          select 1 from manifest_reference r where r.digest = blob.digest
          and r.repository_id = repository_blob.repository_id)`,
      })
      .from(repositoryBlob)
      .innerJoin(blob, eq(blob.id, repositoryBlob.blobId))
      .where(lt(repositoryBlob.unreferencedAt, before))
      .orderBy(asc(repositoryBlob.unreferencedAt))
      .limit(limit),
  )
  const markUsed = statement(db, link, ({ repositoryId, blobId }) =>
    db
      .update(repositoryBlob)
      .set({ unreferencedAt: null })
      .where(and(eq(repositoryBlob.blobId, blobId), eq(repositoryBlob.repositoryId, repositoryId))),
  )
  return {
    /** Removes blobs from repositories whose manifests have not referenced them for the grace period. */
    collectBlobs({ until, garbageWindow, limit }: CollectionCall): BlobBatch {
      const rows = candidates.all({ before: until - garbageWindow.graceMs, limit })
      const blobs: BlobBatch['blobs'] = []
      const done = within(rows, (row) => {
        if (row.isNamed === 1) markUsed.run(row)
        else blobs.push(...dropLoose(row))
      })
      return { ...batchOf({ more: rows.length === limit || done < rows.length }), repositories: 0, blobs }
    },

    /** Removes the content of repositories that were deleted before the undo window, and finally their rows. */
    collectRepositories({ at, until, garbageWindow, limit }: CollectionCall): BlobBatch {
      const found = repositories.oldest.get({ before: until - garbageWindow.windowMs })
      if (found === undefined) return { ...batchOf({}), repositories: 0, blobs: [] }
      return repositories.empty(found.id, at, limit)
    },
  }
}

export type DropLink = ReturnType<typeof dropLink>

/** Removes a link. With a blob's last link, also removes and returns the blob's row. */
export function dropLink(db: Db) {
  const unlink = statement(db, link, ({ repositoryId, blobId }) =>
    db
      .delete(repositoryBlob)
      .where(and(eq(repositoryBlob.blobId, blobId), eq(repositoryBlob.repositoryId, repositoryId))),
  )
  const remove = statement(db, { blobId: number }, ({ blobId }) =>
    db
      .delete(blob)
      .where(
        sql`${blob.id} = ${blobId} and not exists (select 1 from repository_blob l where l.blob_id = blob.id)`,
      )
      .returning({ digest: blob.digest, size: blob.size }),
  )
  return (link: { repositoryId: number; blobId: number }): BlobBatch['blobs'] => {
    unlink.run(link)
    return remove.all(link).map(({ digest, size }) => ({ digest: digestFromBytes(digest), size }))
  }
}

type Parts = { drop: DropLink; remove: ManifestPurge['remove']; setDeleted: RepositoryRows['setDeleted'] }

function deletedRepositories(db: Db, { drop, remove, setDeleted }: Parts) {
  const { oldest, tags, history, manifests, links, removeRepository } = repositoryStatements(db)
  return {
    oldest,

    /**
     * Removes at most `limit` rows of a repository within a part's time: tags, then manifests, links and history, and
     * finally its own row. With the first one, its deletion is dated to 1970, so that it can no longer be restored in
     * part.
     */
    empty(repositoryId: number, at: number, limit: number): BlobBatch {
      const batch: BlobBatch = { ...batchOf({ more: true }), repositories: 0, blobs: [] }
      const isOver = partTime()
      let left = limit
      const some = () => ({ repositoryId, limit: Math.min(left, ROWS_AT_ONCE) })
      const steps: (() => number)[] = [
        () => {
          const { length } = tags.all(some())
          batch.tags += length
          return length
        },
        () => {
          const done = within(
            manifests.all(some()),
            (row) => {
              batch.bytes += remove(row, at)
            },
            isOver,
          )
          batch.manifests += done
          return done
        },
        () => within(links.all(some()), (link) => batch.blobs.push(...drop(link)), isOver),
        () => history.all(some()).length,
      ]
      setDeleted(repositoryId, 0)
      for (const step of steps) {
        for (let done = 1; done > 0; left -= done) {
          if (left <= 0 || isOver()) return batch
          done = step()
        }
      }
      removeRepository.run({ id: repositoryId })
      return { ...batch, repositories: 1 }
    },
  }
}

function repositoryStatements(db: Db) {
  const some = { repositoryId: number, limit: number }
  const oldest = statement(db, { before: number }, ({ before }) =>
    db
      .select({ id: repository.id })
      .from(repository)
      .where(lt(repository.deletedAt, before))
      .orderBy(asc(repository.deletedAt))
      .limit(1),
  )
  const tags = statement(db, some, ({ repositoryId, limit }) =>
    db
      .delete(tag)
      .where(sql`rowid in (select t.rowid from tag t where t.repository_id = ${repositoryId} limit ${limit})`)
      .returning({ name: tag.name }),
  )
  const history = statement(db, some, ({ repositoryId, limit }) =>
    db
      .delete(tagHistory)
      .where(
        sql`id in (select h.id from tag_history h where h.repository_id = ${repositoryId} limit ${limit})`,
      )
      .returning({ id: tagHistory.id }),
  )
  const manifests = statement(db, some, ({ repositoryId, limit }) =>
    db
      .select({
        id: manifest.id,
        repositoryId: manifest.repositoryId,
        digest: manifest.digest,
        size: manifest.size,
        deletedAt: manifest.deletedAt,
      })
      .from(manifest)
      .where(eq(manifest.repositoryId, repositoryId))
      .limit(limit),
  )
  const links = statement(db, some, ({ repositoryId, limit }) =>
    db
      .select({ repositoryId: repositoryBlob.repositoryId, blobId: repositoryBlob.blobId })
      .from(repositoryBlob)
      .where(eq(repositoryBlob.repositoryId, repositoryId))
      .limit(limit),
  )
  const removeRepository = deleteBy(db, repository, 'id')
  return { oldest, tags, history, manifests, links, removeRepository }
}
