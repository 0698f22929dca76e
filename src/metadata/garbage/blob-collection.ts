import { and, asc, eq, lt, sql } from 'drizzle-orm'
import { type Digest, digestFromBytes } from '../../oci/digest.ts'
import type { Db } from '../database.ts'
import { blob, manifest, repository, repositoryBlob, tag, tagHistory } from '../schema.ts'
import { batchOf, type CollectionBatch, type CollectionCall, within } from './collection.ts'
import { manifestPurge } from './manifest-purge.ts'

/** A batch that has removed rows of blobs: their bytes are for the store to remove, after the commit. */
export interface BlobBatch extends CollectionBatch {
  repositories: number
  blobs: { digest: Digest; size: number }[]
}

/** Writes of the collector for blobs, and for whole repositories, each a bounded batch. */
export function blobCollectionWrites(db: Db) {
  const drop = dropLink(db)
  const repositories = deletedRepositories(db)
  const candidates = db
    .select({
      repositoryId: repositoryBlob.repositoryId,
      blobId: repositoryBlob.blobId,
      isNamed: sql<number>`exists (
      select 1 from manifest_reference r where r.digest = blob.digest
      and r.repository_id = repository_blob.repository_id)`,
    })
    .from(repositoryBlob)
    .innerJoin(blob, eq(blob.id, repositoryBlob.blobId))
    .where(lt(repositoryBlob.unreferencedAt, sql.placeholder('before')))
    .orderBy(asc(repositoryBlob.unreferencedAt))
    .limit(sql.placeholder('limit'))
    .prepare()
  const markUsed = db
    .update(repositoryBlob)
    .set({ unreferencedAt: null })
    .where(
      and(
        eq(repositoryBlob.blobId, sql.placeholder('blobId')),
        eq(repositoryBlob.repositoryId, sql.placeholder('repositoryId')),
      ),
    )
    .prepare()
  return {
    /** Removes blobs from repositories whose manifests do not name them since before the grace. */
    collectBlobs({ at, retention, limit }: CollectionCall): BlobBatch {
      const rows = candidates.all({ before: at - retention.graceMs, limit })
      const blobs: BlobBatch['blobs'] = []
      const done = within(rows, (row) => {
        if (row.isNamed === 1) markUsed.run(row)
        else blobs.push(...drop(row))
      })
      return { ...batchOf({ more: rows.length === limit || done < rows.length }), repositories: 0, blobs }
    },

    /** Removes what a repository holds that was deleted before the window; with the last of it the repository. */
    collectRepositories({ at, retention, limit }: CollectionCall): BlobBatch {
      const found = repositories.oldest.get({ before: at - retention.windowMs })
      if (found === undefined) return { ...batchOf({}), repositories: 0, blobs: [] }
      return repositories.empty(found.id, at, limit)
    },
  }
}

/** Removes a link; with the last one of a blob its row, which it answers. */
export function dropLink(db: Db) {
  const unlink = db
    .delete(repositoryBlob)
    .where(
      and(
        eq(repositoryBlob.blobId, sql.placeholder('blobId')),
        eq(repositoryBlob.repositoryId, sql.placeholder('repositoryId')),
      ),
    )
    .prepare()
  const remove = db
    .delete(blob)
    .where(
      sql`${blob.id} = ${sql.placeholder('blobId')}
        and not exists (select 1 from repository_blob l where l.blob_id = blob.id)`,
    )
    .returning({ digest: blob.digest, size: blob.size })
    .prepare()
  return (link: { repositoryId: number; blobId: number }): BlobBatch['blobs'] => {
    unlink.run(link)
    return remove.all(link).map(({ digest, size }) => ({ digest: digestFromBytes(digest), size }))
  }
}

function deletedRepositories(db: Db) {
  const drop = dropLink(db)
  const { remove } = manifestPurge(db)
  const id = sql.placeholder('repositoryId')
  const limit = sql.placeholder('limit')
  const oldest = db
    .select({ id: repository.id })
    .from(repository)
    .where(lt(repository.deletedAt, sql.placeholder('before')))
    .orderBy(asc(repository.deletedAt))
    .limit(1)
    .prepare()
  const tags = db
    .delete(tag)
    .where(sql`rowid in (select t.rowid from tag t where t.repository_id = ${id} limit ${limit})`)
    .returning({ name: tag.name })
    .prepare()
  const history = db
    .delete(tagHistory)
    .where(sql`id in (select h.id from tag_history h where h.repository_id = ${id} limit ${limit})`)
    .returning({ id: tagHistory.id })
    .prepare()
  const manifests = db
    .select({
      id: manifest.id,
      repositoryId: manifest.repositoryId,
      digest: manifest.digest,
      size: manifest.size,
      deletedAt: manifest.deletedAt,
    })
    .from(manifest)
    .where(eq(manifest.repositoryId, id))
    .limit(limit)
    .prepare()
  const links = db
    .select({ repositoryId: repositoryBlob.repositoryId, blobId: repositoryBlob.blobId })
    .from(repositoryBlob)
    .where(eq(repositoryBlob.repositoryId, id))
    .limit(limit)
    .prepare()
  const giveUp = db.update(repository).set({ deletedAt: 0 }).where(eq(repository.id, id)).prepare()
  const removeRepository = db.delete(repository).where(eq(repository.id, id)).prepare()
  return {
    oldest,

    /**
     * Takes so many rows out of a repository: tags, then manifests, links and history, at last its own. From the first
     * one on it was deleted in 1970, so that no restore, however old, brings back a part of it.
     */
    empty(repositoryId: number, at: number, limit: number): BlobBatch {
      giveUp.run({ repositoryId })
      const batch: BlobBatch = { ...batchOf({ more: true }), repositories: 0, blobs: [] }
      batch.tags = tags.all({ repositoryId, limit }).length
      if (batch.tags > 0) return batch
      batch.manifests = within(manifests.all({ repositoryId, limit }), (row) => {
        batch.bytes += remove(row, at)
      })
      if (batch.manifests > 0) return batch
      const done = within(links.all({ repositoryId, limit }), (link) => batch.blobs.push(...drop(link)))
      if (done > 0 || history.all({ repositoryId, limit }).length > 0) return batch
      removeRepository.run({ repositoryId })
      return { ...batch, repositories: 1 }
    },
  }
}
