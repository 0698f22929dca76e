import { and, asc, eq, isNotNull, lt, sql } from 'drizzle-orm'
import { type Caller, SYSTEM } from '../../domain/access/caller.ts'
import { type Digest, digestFromBytes } from '../../oci/digest.ts'
import type { RepositoryName } from '../../oci/reference.ts'
import type { ManifestRows } from '../content/manifests/manifest-rows.ts'
import type { TagRows } from '../content/tags/tag-rows.ts'
import type { Db } from '../database.ts'
import type { RecordEvent } from '../events.ts'
import type { DropLink } from '../garbage/blob-collection.ts'
import type { ManifestPurge } from '../garbage/manifest-purge.ts'
import type { Reachability } from '../garbage/reachability.ts'
import { updateBy } from '../rows.ts'
import { blob, manifest, repository, repositoryBlob } from '../schema/schema.ts'
import { bytes, number, statement, text } from '../statement.ts'
import { within } from '../writer/part-time.ts'
import type { Pins } from './pins.ts'

/** What an eviction has removed. After the commit, the store must remove the bytes of the blobs. */
export interface Evicted {
  stale: 'content'
  manifests: number
  blobs: { digest: Digest; size: number }[]
  /** The bytes of these manifests and blobs. */
  bytes: number
  /** Whether more may be evicted. */
  more: boolean
}

export interface EvictionCall {
  at: number
  /** Content that was used since then stays. */
  before: number
  /** How many bytes of blobs and manifests to free. */
  bytes: number
  /** How many rows are examined. */
  limit: number
}

/** A cached manifest to evict. */
interface Victim {
  id: number
  repositoryId: number
  repository: string
  digest: Buffer
  size: number
  deletedAt: number | null
}

interface Parts {
  recordEvent: RecordEvent
  rows: ManifestRows
  tags: TagRows
  reach: Reachability
  purge: ManifestPurge
  drop: DropLink
  pins: Pins
}

/** The statements that every removal of cached content needs. */
export function evictions(db: Db, parts: Parts) {
  return { ...parts, ...victims(db, parts), candidates: evictionCandidates(db) }
}

export type Evictions = ReturnType<typeof evictions>

/** The write that frees space. It is synced, because rows must be removed before bytes. */
export function evictionWrites({ dropLoose, pins, evictOne, candidates }: Evictions) {
  return {
    /**
     * Evicts the least recently used content until enough bytes are free: first blobs that no manifest references,
     * then manifests with the blobs that only they reference. Keeps pushed content, and blobs that are linked
     * elsewhere.
     */
    evict({ at, before, bytes, limit }: EvictionCall): Evicted {
      const evicted = nothingEvicted()
      const isShort = () => evicted.bytes < bytes
      const loose = candidates.loose.all({ before, limit })
      const dropped = within(loose, (link) => isShort() && addRemoved(evicted, { blobs: dropLoose(link) }))
      const hasMoreLoose = dropped < loose.length || loose.length === limit
      const oldest = isShort() && !hasMoreLoose ? candidates.oldest.all({ before, limit }) : []
      const taken = within(oldest, (row) => {
        if (!isShort() || !candidates.isThere(row.id)) return
        // A pinned one counts as used, so that the next call examines others.
        if (pins.isPinned(row)) return candidates.use.run({ id: row.id, usedAt: Math.max(at, before) })
        addRemoved(evicted, evictOne(row, { at, before, caller: SYSTEM }))
      })
      evicted.more = hasMoreLoose || taken < oldest.length || oldest.length === limit
      return evicted
    },
  }
}

/** What was removed with one row. */
interface Removed extends Pick<Evicted, 'blobs'> {
  manifests?: number
  manifestBytes?: number
}

export function nothingEvicted(): Evicted {
  return { stale: 'content', manifests: 0, blobs: [], bytes: 0, more: false }
}

/** Adds what was removed to an eviction, and returns it. */
export function addRemoved(evicted: Evicted, { blobs, manifests = 0, manifestBytes = 0 }: Removed): Evicted {
  evicted.manifests += manifests
  evicted.blobs.push(...blobs)
  evicted.bytes += blobs.reduce((sum, { size }) => sum + size, manifestBytes)
  return evicted
}

/**
 * Removes a cached manifest with its tags, the links that only it needs, and indexes that have no stored manifest
 * left. Removes the row of a cached repository that becomes empty.
 */
function victims(db: Db, { recordEvent, rows, tags, reach, purge: { remove }, drop }: Parts) {
  const { ownLinks, emptyIndexes, removeRepository } = victimStatements(db)
  const evictOne = (
    first: Victim,
    { at, before, caller }: { at: number; before: number; caller: Caller },
  ) => {
    const blobs: Evicted['blobs'] = []
    const queue = [first]
    let [manifests, manifestBytes] = [0, 0]
    for (let row = queue.pop(); row !== undefined; row = queue.pop()) {
      const { repositoryId, digest } = row
      const name = row.repository as RepositoryName
      const links = ownLinks.all({ id: row.id, repositoryId })
      for (const tag of tags.pointingAt(row.id)) {
        const found = tags.find(repositoryId, tag, at)
        if (found) tags.remove(repositoryId, tag, found, { caller, at, act: 'cache.evict' })
      }
      rows.hide(row.id, at)
      reach.vanished(row.id, at)
      remove(row, at)
      for (const link of links) blobs.push(...drop(link))
      recordEvent({ type: 'cache.evict', repository: name, digest: digestFromBytes(digest) }, caller, at)
      manifests++
      manifestBytes += row.size
      queue.push(...emptyIndexes.all({ digest, repositoryId, before }))
    }
    removeRepository.run({ repositoryId: first.repositoryId })
    return { manifests, manifestBytes, blobs }
  }
  return {
    evictOne,

    /** Removes a link, and the row of its cached repository if that becomes empty. */
    dropLoose: (link: Parameters<DropLink>[0]): Evicted['blobs'] => {
      const blobs = drop(link)
      removeRepository.run(link)
      return blobs
    },

    removeRepository: (id: number) => removeRepository.run({ repositoryId: id }),
  }
}

function victimStatements(db: Db) {
  const ownLinks = statement(db, { id: number, repositoryId: number }, ({ id, repositoryId }) =>
    db
      .select({ repositoryId: repositoryBlob.repositoryId, blobId: repositoryBlob.blobId })
      .from(repositoryBlob)
      .where(
        sql`repository_blob.repository_id = ${repositoryId} and repository_blob.is_cached = 1
          and repository_blob.blob_id in (
            select b.id from manifest_reference r join blob b on b.digest = r.digest
            where r.manifest_id = ${id} and not exists (select 1 from manifest_reference o
              where o.digest = r.digest and o.repository_id = r.repository_id and o.manifest_id <> r.manifest_id))`,
      ),
  )
  const emptyIndexes = statement(
    db,
    { digest: bytes, repositoryId: number, before: number },
    ({ digest, repositoryId, before }) =>
      db
        .select({ ...victimColumns, repository: repository.name })
        .from(manifest)
        .innerJoin(repository, eq(repository.id, manifest.repositoryId))
        .where(
          sql`manifest.used_at < ${before} and manifest.id in (
              select r.manifest_id from manifest_reference r
              where r.digest = ${digest} and r.repository_id = ${repositoryId} and r.role = 'child')
            and not exists (select 1 from manifest_reference o join manifest c
              on c.digest = o.digest and c.repository_id = o.repository_id
              where o.manifest_id = manifest.id and o.role = 'child')`,
        ),
  )
  const removeRepository = statement(db, { repositoryId: number }, ({ repositoryId }) =>
    db.delete(repository).where(
      sql`id = ${repositoryId} and upstream is not null
          and not exists (select 1 from manifest m where m.repository_id = repository.id)
          and not exists (select 1 from repository_blob l where l.repository_id = repository.id)
          and not exists (select 1 from tag t where t.repository_id = repository.id)`,
    ),
  )
  return { ownLinks, emptyIndexes, removeRepository }
}

const victimColumns = {
  id: manifest.id,
  repositoryId: manifest.repositoryId,
  digest: manifest.digest,
  size: manifest.size,
  deletedAt: manifest.deletedAt,
}

function evictionCandidates(db: Db) {
  const columns = { ...victimColumns, repository: repository.name }
  const links = { repositoryId: repositoryBlob.repositoryId, blobId: repositoryBlob.blobId }
  const oldest = statement(db, { before: number, limit: number }, ({ before, limit }) =>
    db
      .select(columns)
      .from(manifest)
      .innerJoin(repository, eq(repository.id, manifest.repositoryId))
      .where(lt(manifest.usedAt, before))
      .orderBy(asc(manifest.usedAt))
      .limit(limit),
  )
  const byId = statement(db, { id: number }, ({ id }) =>
    db
      .select(columns)
      .from(manifest)
      .innerJoin(repository, eq(repository.id, manifest.repositoryId))
      .where(and(eq(manifest.id, id), isNotNull(manifest.usedAt))),
  )
  const loose = statement(db, { before: number, limit: number }, ({ before, limit }) =>
    db
      .select(links)
      .from(repositoryBlob)
      .where(and(lt(repositoryBlob.unreferencedAt, before), eq(repositoryBlob.isCached, true)))
      .orderBy(asc(repositoryBlob.unreferencedAt))
      .limit(limit),
  )
  const link = statement(db, { name: text, digest: bytes }, ({ name, digest }) =>
    db
      .select(links)
      .from(repositoryBlob)
      .innerJoin(blob, eq(blob.id, repositoryBlob.blobId))
      .innerJoin(repository, eq(repository.id, repositoryBlob.repositoryId))
      .where(
        and(
          eq(repository.name, name),
          sql`${repository.deletedAt} is null`,
          eq(blob.digest, digest),
          eq(repositoryBlob.isCached, true),
        ),
      ),
  )
  const inRepository = statement(db, { repositoryId: number, limit: number }, ({ repositoryId, limit }) =>
    db
      .select(columns)
      .from(manifest)
      .innerJoin(repository, eq(repository.id, manifest.repositoryId))
      .where(and(eq(manifest.repositoryId, repositoryId), isNotNull(manifest.usedAt)))
      .limit(limit),
  )
  const linksOf = statement(db, { repositoryId: number, limit: number }, ({ repositoryId, limit }) =>
    db
      .select(links)
      .from(repositoryBlob)
      .where(and(eq(repositoryBlob.repositoryId, repositoryId), eq(repositoryBlob.isCached, true)))
      .limit(limit),
  )
  const use = updateBy(db, manifest, ['usedAt'], 'id')
  const isThere = (id: number) => byId.get({ id }) !== undefined
  return { oldest, byId, loose, link, inRepository, linksOf, use, isThere }
}
