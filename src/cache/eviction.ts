import { and, asc, eq, isNotNull, lt, sql } from 'drizzle-orm'
import { type Caller, type Condition, SYSTEM, type Write } from '../access/access.ts'
import type { Db } from '../database/database.ts'
import { checkVersion, within } from '../database/operation.ts'
import { blob, manifest, manifestReference, repository, repositoryBlob } from '../database/schema.ts'
import { bytes, number, statement, text, updateBy } from '../database/statement.ts'
import type { DropLink } from '../garbage/collection.ts'
import type { ManifestPurge } from '../garbage/purge.ts'
import { type Digest, digestFromBytes, digestToBytes } from '../oci/digest.ts'
import { registryError } from '../oci/error.ts'
import { formatReference, type Reference, type RepositoryName, type Tag } from '../oci/reference.ts'
import type { Rows } from '../registry/store.ts'
import type { Pins } from './pins.ts'

declare module '../database/metadata.ts' {
  interface Operations extends ReturnType<typeof evictionWrites>, ReturnType<typeof cacheDeletionWrites> {}
}

/** What an eviction has removed. After the commit, the store must remove the bytes of the blobs. */
interface Evicted {
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
  purge: ManifestPurge
  drop: DropLink
  pins: Pins
}

/** The statements that every removal of cached content needs. */
export function evictions(db: Db, rows: Rows, parts: Parts) {
  return { ...parts, ...victims(db, rows, parts), candidates: evictionCandidates(db) }
}

type Evictions = ReturnType<typeof evictions>

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

function nothingEvicted(): Evicted {
  return { stale: 'content', manifests: 0, blobs: [], bytes: 0, more: false }
}

/** Adds what was removed to an eviction, and returns it. */
function addRemoved(evicted: Evicted, { blobs, manifests = 0, manifestBytes = 0 }: Removed): Evicted {
  evicted.manifests += manifests
  evicted.blobs.push(...blobs)
  evicted.bytes += blobs.reduce((sum, { size }) => sum + size, manifestBytes)
  return evicted
}

/**
 * Removes a cached manifest with its tags, the links that only it needs, and indexes that have no stored manifest
 * left. Removes the row of a cached repository that becomes empty.
 */
function victims(
  db: Db,
  { recordEvent, manifests: hidden, tags, reach }: Rows,
  { purge: { remove }, drop }: Parts,
) {
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
      hidden.hide(row.id, at)
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

/** How many manifests and links of a repository one write removes. */
const ROWS_MAX = 200

/** Writes that remove cached content on request. They are synced, because rows must be removed before bytes. */
export function cacheDeletionWrites(db: Db, rows: Rows, evictions: Evictions) {
  const { recordEvent, repositories, findManifest, moves } = rows
  const { drop, dropLoose, evictOne, removeRepository, candidates } = evictions
  const evictTag = tagEvictions(db, rows, evictions)
  return {
    /**
     * Evicts one manifest with its tags, or one tag. With its last tag, a manifest is evicted too, unless another
     * manifest references it. Throws NAME_UNKNOWN, MANIFEST_UNKNOWN or PRECONDITION_FAILED.
     */
    evictReference(
      call: Write & {
        repository: RepositoryName
        reference: Reference
        precondition?: Condition | undefined
      },
    ): Evicted {
      const { at, caller, repository, reference } = call
      const repositoryId = repositories.find(repository)
      if (repositoryId === undefined)
        throw registryError('NAME_UNKNOWN', `there is no repository ${repository}`)
      const unknown = () =>
        registryError('MANIFEST_UNKNOWN', `${repository} has no ${formatReference(reference)} in the cache`)
      if (reference.tag !== undefined) {
        moves.check(repositoryId, reference.tag, call)
        const gone = evictTag(repositoryId, reference.tag, call)
        if (gone === undefined) throw unknown()
        return addRemoved(nothingEvicted(), gone)
      }
      const found = findManifest(repositoryId, digestToBytes(reference.digest))
      const row = found && candidates.byId.get({ id: found.id })
      if (row === undefined) throw unknown()
      checkVersion(`the manifest ${reference.digest}`, found?.version, call.condition)
      return addRemoved(nothingEvicted(), evictOne(row, { at, before: at, caller }))
    },

    /**
     * Evicts a part of what is cached in a repository. The last part also removes the repository's row. Throws
     * NAME_UNKNOWN or PRECONDITION_FAILED.
     */
    evictRepository({ at, caller, repository, condition }: Write & { repository: RepositoryName }): Evicted {
      const found = repositories.findState(repository)
      checkVersion(`the repository ${repository}`, found?.version, condition)
      if (found === undefined) throw registryError('NAME_UNKNOWN', `there is no repository ${repository}`)
      const asked = { repositoryId: found.id, limit: ROWS_MAX }
      const evicted = nothingEvicted()
      const manifests = candidates.inRepository.all(asked)
      const taken = within(manifests, (row) => {
        if (!candidates.isThere(row.id)) return
        addRemoved(evicted, evictOne(row, { at, before: at, caller }))
      })
      const links = taken < manifests.length ? [] : candidates.linksOf.all(asked)
      const dropped = within(links, (link) => addRemoved(evicted, { blobs: drop(link) }))
      const isPart =
        taken < manifests.length || dropped < links.length || manifests.length + links.length >= ROWS_MAX
      evicted.more = isPart && repositories.find(repository) !== undefined
      if (evicted.more) return evicted
      removeRepository(found.id)
      recordEvent({ type: 'repository.delete', repository }, caller, at)
      return evicted
    },

    /** Removes the link of a cached blob that was deleted, or whose bytes are missing. */
    unlinkCached({ repository, digest }: { repository: RepositoryName; digest: Digest }): Evicted {
      const link = candidates.link.get({ name: repository, digest: digestToBytes(digest) })
      return addRemoved(nothingEvicted(), { blobs: link === undefined ? [] : dropLoose(link) })
    },
  }
}

/** Evicts a tag, and its manifest if nothing else references it. Returns undefined if there is no such tag. */
function tagEvictions(db: Db, { recordEvent, tags }: Rows, { evictOne, candidates }: Evictions) {
  const listing = statement(db, { digest: bytes, repositoryId: number }, ({ digest, repositoryId }) =>
    db
      .select({ id: manifestReference.manifestId })
      .from(manifestReference)
      .where(
        sql`${manifestReference.digest} = ${digest} and ${manifestReference.repositoryId} = ${repositoryId}`,
      )
      .limit(1),
  )
  const isNamed = ({ id, digest, repositoryId }: { id: number; digest: Buffer; repositoryId: number }) =>
    tags.pointingAt(id, 1).length > 0 || listing.get({ digest, repositoryId }) !== undefined
  return (
    repositoryId: number,
    tag: Tag,
    { at, caller, repository }: Write & { repository: RepositoryName },
  ) => {
    const found = tags.find(repositoryId, tag, at)
    if (found === undefined) return undefined
    tags.remove(repositoryId, tag, found, { caller, at, act: 'cache.evict' })
    recordEvent({ type: 'cache.evict', repository, tag }, caller, at)
    const row = candidates.byId.get({ id: found.manifestId })
    if (row === undefined || isNamed(row)) return { blobs: [] }
    return evictOne(row, { at, before: at, caller })
  }
}
