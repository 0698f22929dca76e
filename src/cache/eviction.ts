import { sql } from 'drizzle-orm'
import { type Caller, type Condition, SYSTEM, type Write } from '../access/access.ts'
import { matchesPattern, parseRepositoryPattern } from '../access/patterns.ts'
import type { RecordAct } from '../accounts/store.ts'
import type { Db } from '../database/database.ts'
import { checkVersion, within } from '../database/operation.ts'
import { cachePin, manifest } from '../database/schema.ts'
import {
  bytes,
  deleteBy,
  insertInto,
  number,
  selectBy,
  statement,
  text,
  updateBy,
} from '../database/statement.ts'
import type { DropLink, ManifestPurge } from '../garbage/store.ts'
import { registryError } from '../oci/error.ts'
import {
  type Digest,
  digestFromBytes,
  digestToBytes,
  formatReference,
  type Reference,
  type RepositoryName,
  type Tag,
} from '../oci/reference.ts'
import type { Rows } from '../registry/store.ts'

/** Selects manifests to evict, as `manifest`. */
const DOOMED = sql`select manifest.id, manifest.repository_id as repositoryId, repository.name as repository,
  manifest.digest, manifest.size, manifest.deleted_at as deletedAt
  from manifest join repository on repository.id = manifest.repository_id`

/** A manifest to delete. */
interface DoomedManifest {
  id: number
  repositoryId: number
  repository: RepositoryName
  digest: Buffer
  size: number
  deletedAt: number | null
}

/** A link of a blob to a repository. */
interface BlobLink {
  repositoryId: number
  blobId: number
}

declare module '../database/metadata.ts' {
  interface Reads {
    pins: ReturnType<typeof pinReads>
  }
  interface Operations
    extends ReturnType<typeof evictionWrites>,
      ReturnType<typeof cacheDeletionWrites>,
      ReturnType<typeof pinWrites> {}
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

interface EvictionCall {
  at: number
  /** Content that was used since then stays. */
  before: number
  /** How many bytes of blobs and manifests to free. */
  bytes: number
  /** How many rows are examined. */
  limit: number
}

interface Parts {
  purge: ManifestPurge
  drop: DropLink
}

type Evictions = ReturnType<typeof evictions>

/** The statements that every removal of cached content needs. */
export function evictions(db: Db, rows: Rows, parts: Parts) {
  return {
    ...parts,
    ...victims(db, rows, parts),
    candidates: evictionCandidates(db),
    isPinned: pinned(db, rows),
  }
}

/** The write that frees space. It is synced, because rows must be removed before bytes. */
export function evictionWrites({ dropLoose, isPinned, evictOne, candidates }: Evictions) {
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
        if (!isShort() || !candidates.byId.get(row)) return
        // A pinned one counts as used, so that the next call examines others.
        if (isPinned(row)) return candidates.use.run({ id: row.id, usedAt: Math.max(at, before) })
        addRemoved(evicted, evictOne(row, { at, before, caller: SYSTEM }))
      })
      evicted.more = hasMoreLoose || taken < oldest.length || oldest.length === limit
      return evicted
    },
  }
}

function nothingEvicted(): Evicted {
  return { stale: 'content', manifests: 0, blobs: [], bytes: 0, more: false }
}

/** What was removed with one row. */
interface Removed extends Pick<Evicted, 'blobs'> {
  manifests?: number
  manifestBytes?: number
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
  { recordEvent, manifests: rows, tags, reach }: Rows,
  { purge: { remove }, drop }: Parts,
) {
  const { ownLinks, emptyIndexes, removeRepository } = victimStatements(db)
  return {
    removeRepository,

    evictOne(
      first: DoomedManifest,
      { at, before, caller }: { at: number; before: number; caller: Caller },
    ): Removed {
      const blobs: Evicted['blobs'] = []
      const queue = [first]
      let [manifests, manifestBytes] = [0, 0]
      for (let row = queue.pop(); row !== undefined; row = queue.pop()) {
        const { repositoryId, repository, digest } = row
        const links = ownLinks.all({ id: row.id, repositoryId })
        for (const tag of tags.pointingAt(row.id)) {
          const found = tags.find(repositoryId, tag, at)
          if (found) tags.remove(repositoryId, tag, found, { caller, at, act: 'cache.evict' })
        }
        rows.hide(row.id, at)
        reach.vanished(row.id, at)
        remove(row, at)
        for (const link of links) blobs.push(...drop(link))
        recordEvent({ type: 'cache.evict', repository, digest: digestFromBytes(digest) }, caller, at)
        manifests++
        manifestBytes += row.size
        queue.push(...emptyIndexes.all({ digest, repositoryId, before }))
      }
      removeRepository.run({ repositoryId: first.repositoryId })
      return { manifests, manifestBytes, blobs }
    },

    /** Removes a link, and the row of its cached repository if that becomes empty. */
    dropLoose(link: BlobLink): Evicted['blobs'] {
      const blobs = drop(link)
      removeRepository.run(link)
      return blobs
    },
  }
}

function victimStatements(db: Db) {
  return {
    ownLinks: statement(
      db,
      { id: number, repositoryId: number },
      ({
        id,
        repositoryId,
      }) => sql<BlobLink>`select repository_id as repositoryId, blob_id as blobId from repository_blob
        where repository_id = ${repositoryId} and is_cached = 1 and blob_id in (
          select b.id from manifest_reference r join blob b on b.digest = r.digest
          where r.manifest_id = ${id} and not exists (select 1 from manifest_reference o
            where o.digest = r.digest and o.repository_id = r.repository_id and o.manifest_id <> r.manifest_id))`,
    ),
    emptyIndexes: statement(
      db,
      { digest: bytes, repositoryId: number, before: number },
      ({ digest, repositoryId, before }) => sql<DoomedManifest>`${DOOMED}
        where manifest.used_at < ${before} and manifest.id in (
            select r.manifest_id from manifest_reference r
            where r.digest = ${digest} and r.repository_id = ${repositoryId} and r.role = 'child')
          and not exists (select 1 from manifest_reference o join manifest c
            on c.digest = o.digest and c.repository_id = o.repository_id
            where o.manifest_id = manifest.id and o.role = 'child')`,
    ),
    removeRepository: statement(
      db,
      { repositoryId: number },
      ({ repositoryId }) => sql`delete from repository where id = ${repositoryId} and upstream is not null
        and not exists (select 1 from manifest m where m.repository_id = repository.id)
        and not exists (select 1 from repository_blob l where l.repository_id = repository.id)
        and not exists (select 1 from tag t where t.repository_id = repository.id)`,
    ),
  }
}

function evictionCandidates(db: Db) {
  const links = sql`select l.repository_id as repositoryId, l.blob_id as blobId from repository_blob l`
  const oldest = { before: number, limit: number }
  const own = { repositoryId: number, limit: number }
  return {
    oldest: statement(
      db,
      oldest,
      ({ before, limit }) => sql<DoomedManifest>`${DOOMED}
        where manifest.used_at < ${before} order by manifest.used_at limit ${limit}`,
    ),
    byId: statement(
      db,
      { id: number },
      ({ id }) => sql<DoomedManifest>`${DOOMED} where manifest.id = ${id} and manifest.used_at is not null`,
    ),
    inRepository: statement(
      db,
      own,
      ({ repositoryId, limit }) => sql<DoomedManifest>`${DOOMED}
        where manifest.repository_id = ${repositoryId} and manifest.used_at is not null limit ${limit}`,
    ),
    loose: statement(
      db,
      oldest,
      ({ before, limit }) => sql<BlobLink>`${links}
        where l.unreferenced_at < ${before} and l.is_cached = 1 order by l.unreferenced_at limit ${limit}`,
    ),
    link: statement(
      db,
      { name: text, digest: bytes },
      ({
        name,
        digest,
      }) => sql<BlobLink>`${links} join blob b on b.id = l.blob_id join repository p on p.id = l.repository_id
        where p.name = ${name} and p.deleted_at is null and b.digest = ${digest} and l.is_cached = 1`,
    ),
    linksOf: statement(
      db,
      own,
      ({ repositoryId, limit }) => sql<BlobLink>`${links}
        where l.repository_id = ${repositoryId} and l.is_cached = 1 limit ${limit}`,
    ),
    use: updateBy(db, manifest, ['usedAt'], 'id'),
  }
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
        if (candidates.byId.get(row)) addRemoved(evicted, evictOne(row, { at, before: at, caller }))
      })
      const links = taken < manifests.length ? [] : candidates.linksOf.all(asked)
      const dropped = within(links, (link) => addRemoved(evicted, { blobs: drop(link) }))
      const isPart =
        taken < manifests.length || dropped < links.length || manifests.length + links.length >= ROWS_MAX
      evicted.more = isPart && repositories.find(repository) !== undefined
      if (evicted.more) return evicted
      removeRepository.run({ repositoryId: found.id })
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
  const listing = statement(
    db,
    { digest: bytes, repositoryId: number },
    ({ digest, repositoryId }) => sql<{ id: number }>`select manifest_id as id from manifest_reference
      where digest = ${digest} and repository_id = ${repositoryId} limit 1`,
  )
  const isNamed = ({ id, digest, repositoryId }: DoomedManifest) =>
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

/** Pins of one data folder. */
const PINS_MAX = 1000

/** Cached content that is never evicted. */
export interface Pin {
  pattern: string
  /** A tag, a digest, or empty for all of the repositories. */
  reference: string
}

/** Returns a function that reports whether a pin names a manifest, or an index that lists it. */
function pinned(db: Db, { tags }: Rows) {
  const pins = pinReads(db)
  const indexes = statement(
    db,
    { digest: bytes, repositoryId: number },
    ({ digest, repositoryId }) => sql<Pick<DoomedManifest, 'id' | 'digest'>>`
      select m.id, m.digest from manifest_reference r join manifest m on m.id = r.manifest_id
      where r.digest = ${digest} and r.repository_id = ${repositoryId} and r.role = 'child'`,
  )
  return ({ id, repositoryId, repository, digest }: DoomedManifest): boolean => {
    const own = pins
      .list()
      .filter(({ pattern }) => matchesPattern(parseRepositoryPattern(pattern), repository))
    if (own.length === 0) return false
    const named = [{ id, digest }, ...indexes.all({ digest, repositoryId })]
    const names = new Set([
      '',
      ...named.flatMap((one) => [digestFromBytes(one.digest), ...tags.pointingAt(one.id)]),
    ])
    return own.some(({ reference }) => names.has(reference))
  }
}

/** Changes of pins, each for one call of the writer. */
export function pinWrites(db: Db, recordAct: RecordAct) {
  const pins = selectBy(db, cachePin, 'pattern', 'reference')
  const insert = insertInto(db, cachePin)
  const remove = deleteBy(db, cachePin, 'pattern', 'reference')
  const { list } = pinReads(db)
  return {
    /** Pins content that is cached now or later. Throws CONFLICT when there are too many pins. */
    addPin({ caller, at, pattern, reference }: Write & Pin): Pin & { createdAt: number; isNew: boolean } {
      if (list().length >= PINS_MAX) {
        throw registryError('CONFLICT', `there are ${PINS_MAX} pins: remove some, or pin whole patterns`)
      }
      const before = pins.get({ pattern, reference })
      if (before !== undefined) return { ...before, isNew: false }
      insert.run({ pattern, reference, createdAt: at })
      recordAct({ action: 'pin.create', target: pattern, detail: { reference } }, caller, at)
      return { pattern, reference, createdAt: at, isNew: true }
    },

    /** Throws NOT_FOUND when there is no such pin. */
    removePin({ caller, at, pattern, reference }: Write & Pin): void {
      if (pins.get({ pattern, reference }) === undefined)
        throw registryError('NOT_FOUND', `there is no pin of ${pattern} with this reference`)
      remove.run({ pattern, reference })
      recordAct({ action: 'pin.delete', target: pattern, detail: { reference } }, caller, at)
    },
  }
}

/** Reads of the pins. */
export function pinReads(db: Db) {
  const all = statement(
    db,
    {},
    () => sql<Pin & { createdAt: number }>`select pattern, reference, created_at as createdAt
      from cache_pin order by pattern, reference limit ${PINS_MAX}`,
    'pins',
  )
  return { list: () => all.all({}) }
}
