import { type Placeholder, sql } from 'drizzle-orm'
import { SYSTEM, type Write } from '../access/access.ts'
import type { RecordAct } from '../accounts/store.ts'
import type { Db } from '../database/database.ts'
import { checkVersion, type ReadTotal, type Stale, type VersionOfCall } from '../database/operation.ts'
import { tag, upstream } from '../database/schema.ts'
import {
  bytes,
  deleteBy,
  number,
  pageBy,
  putInto,
  selectBy,
  statement,
  text,
  updateBy,
} from '../database/statement.ts'
import { registryError } from '../oci/error.ts'
import type { Manifest } from '../oci/manifest.ts'
import {
  type Digest,
  digestFromBytes,
  digestToBytes,
  type RepositoryName,
  type Tag,
} from '../oci/reference.ts'
import type { LinkedBlob, Rows } from '../registry/store.ts'
import { turn } from '../runtime/clock.ts'

declare module '../database/metadata.ts' {
  interface Reads {
    cache: ReturnType<typeof cacheReads>
    upstreams: ReturnType<typeof upstreamReads>
  }
  interface Operations extends ReturnType<typeof cacheWrites>, ReturnType<typeof upstreamWrites> {}
}

/** How many manifests that reference a blob are examined. */
const NAMING_MAX = 8

/**
 * How many links of a blob are examined, which takes some milliseconds. If none of them answers the question, the
 * blob is fetched from the upstream again.
 */
const LINKS_MAX = 1000

/** How many rows of a list are examined in one turn of some milliseconds. */
const ROWS_A_TURN = 5000

/** A tag of an upstream. */
export interface CachedTagRow {
  repositoryId: number
  repository: RepositoryName
  tag: Tag
  digest: Digest
  /** When its upstream last confirmed it, in milliseconds since 1970. */
  checkedAt: number
}

/** Reads of cached content. */
export function cacheReads(db: Db, total: ReadTotal) {
  const { check, naming, lender, holders } = readStatements(db)
  return {
    /**
     * Returns how much is stored that may be evicted: the bytes of blobs and manifests, those of manifests, counted in
     * each repository that has them, and the number of blobs.
     */
    totals() {
      const manifestBytes = total('cache.manifest_bytes')
      return { bytes: total('cache.bytes') + manifestBytes, manifestBytes, blobs: total('cache.count') }
    },

    /** Returns where a tag points, and when its upstream last confirmed it; null for a pushed one. */
    findTag(name: RepositoryName, tagName: Tag): { digest: Digest; checkedAt: number | null } | undefined {
      const row = check.get({ name, tag: tagName })
      return row && { ...row, digest: digestFromBytes(row.digest) }
    },

    /**
     * Returns some manifests of a repository that reference a blob, up to a size: the digests that their bytes are
     * stored under.
     */
    naming: (name: RepositoryName, digest: Digest, bytesMax: number): Digest[] =>
      naming.all({ name, digest: digestToBytes(digest), bytesMax }).map((row) => digestFromBytes(row.digest)),

    /** Returns the size in bytes of a blob that was cached from this upstream. */
    findLender: (upstream: string, digest: Digest): number | undefined =>
      lender.get({ upstream, digest: digestToBytes(digest) })?.size,

    /**
     * Returns the blob's size in bytes, and the upstreams whose repositories link it; undefined stands for pushed
     * content.
     */
    holders: (digest: Digest): { upstream: string | undefined; size: number }[] =>
      holders.all({ digest: digestToBytes(digest) }).map(({ upstream, size, isCached }) => ({
        size,
        upstream: isCached ? (upstream ?? undefined) : undefined,
      })),

    localUnder: localNames(db),

    ...cacheLists(db),
  }
}

/** Lists of cached content, which are read some rows per turn. */
function cacheLists(db: Db) {
  const lists = listStatements(db)
  return {
    /** Returns at most `limit` cached tags after the given one, by repository and name. */
    async tags(after: { repositoryId: number; tag: string }, limit: number): Promise<CachedTagRow[]> {
      const rows: CachedTagRow[] = []
      const end = lists.lastRepository.get({})?.id ?? 0
      for (let from = after.repositoryId; from <= end && rows.length < limit; from += ROWS_A_TURN) {
        for (const { repositoryId, repository } of lists.repositories.all({
          from,
          before: from + ROWS_A_TURN,
        })) {
          if (rows.length === limit) break
          const last = repositoryId === after.repositoryId ? after.tag : ''
          for (const row of lists.tags.all({ repositoryId, last, limit: limit - rows.length }))
            rows.push({ ...row, repositoryId, repository, digest: digestFromBytes(row.digest) })
        }
        await turn()
      }
      return rows
    },

    /** Counts the cached manifests. */
    async countManifests(): Promise<number> {
      const end = lists.lastManifest.get({})?.id ?? 0
      let count = 0
      for (let from = 0; from <= end; from += ROWS_A_TURN) {
        count += lists.manifests.get({ from, before: from + ROWS_A_TURN })?.count ?? 0
        await turn()
      }
      return count
    },
  }
}

function readStatements(db: Db) {
  const links = (digest: Placeholder) => sql`(select repository_id, is_cached, deleted_at from repository_blob
    where blob_id = (select id from blob where digest = ${digest}) limit ${LINKS_MAX}) l
    join repository on repository.id = l.repository_id`
  const size = (digest: Placeholder) => sql`(select size from blob where digest = ${digest}) as size`
  return {
    check: statement(
      db,
      { name: text, tag: text },
      ({ name, tag }) => sql<{ digest: Uint8Array; checkedAt: number | null }>`
        select t.digest, t.checked_at as checkedAt from repository p join tag t on t.repository_id = p.id
        where p.name = ${name} and p.deleted_at is null and t.name = ${tag}`,
    ),
    naming: statement(
      db,
      { name: text, digest: bytes, bytesMax: number },
      ({ name, digest, bytesMax }) => sql<{ digest: Uint8Array }>`
        select m.digest from repository p join manifest_reference r on r.repository_id = p.id
          join manifest m on m.id = r.manifest_id
        where p.name = ${name} and p.deleted_at is null and r.digest = ${digest}
          and m.deleted_at is null and m.size <= ${bytesMax}
        limit ${NAMING_MAX}`,
    ),
    lender: statement(
      db,
      { digest: bytes, upstream: text },
      ({ digest, upstream }) => sql<{ size: number }>`select ${size(digest)} from ${links(digest)}
        where repository.upstream = ${upstream} and l.is_cached = 1
          and l.deleted_at is null and repository.deleted_at is null
        limit 1`,
    ),
    holders: statement(
      db,
      { digest: bytes },
      ({ digest }) => sql<{ upstream: string | null; size: number; isCached: number }>`
        select distinct repository.upstream as upstream, ${size(digest)}, l.is_cached as "isCached"
        from ${links(digest)} limit 100`,
    ),
  }
}

function listStatements(db: Db) {
  const range = { from: number, before: number }
  return {
    lastRepository: statement(db, {}, () => sql<{ id: number | null }>`select max(id) as id from repository`),
    repositories: statement(
      db,
      range,
      ({ from, before }) => sql<{ repositoryId: number; repository: RepositoryName }>`
        select id as repositoryId, name as repository from repository
        where id >= ${from} and id < ${before} and upstream is not null order by id`,
    ),
    tags: statement(
      db,
      { repositoryId: number, last: text, limit: number },
      ({ repositoryId, last, limit }) => sql<{ tag: Tag; digest: Uint8Array; checkedAt: number }>`
        select name as tag, digest, checked_at as checkedAt from tag
        where repository_id = ${repositoryId} and name > ${last} and checked_at is not null
        order by name limit ${limit}`,
    ),
    lastManifest: statement(db, {}, () => sql<{ id: number | null }>`select max(id) as id from manifest`),
    manifests: statement(
      db,
      range,
      ({ from, before }) => sql<{ count: number }>`select count(*) as count from manifest
        where id >= ${from} and id < ${before} and used_at is not null`,
    ),
  }
}

/** A manifest that an upstream has sent; its digest is verified. */
interface CachedManifestPut {
  at: number
  repository: RepositoryName
  digest: Digest
  sha256: Digest
  /** The tag that was requested. */
  tag: Tag | undefined
  manifest: Omit<Manifest, 'annotations'>
  bytes: Uint8Array<ArrayBuffer>
  /** The labels that a search finds, as far as they are known yet. */
  labels: readonly string[]
}

/** Content that was used: a manifest, or every manifest that references a blob. */
export interface Use {
  repository: RepositoryName
  digest: Digest
  isBlob: boolean
  /** Milliseconds since 1970. */
  at: number
}

/** Writes of content from upstreams, each for one call of the writer. */
export function cacheWrites(db: Db, rows: Rows) {
  const { recordEvent, repositories, manifests, references, labels, reach, linkBlob } = rows
  const follow = followTag(db, rows)
  const marks = useMarks(db)
  return {
    /** Stores a manifest of an upstream, whichever of its blobs are stored, and points the tag at it. */
    cacheManifest(call: CachedManifestPut): { stale: Stale | undefined } {
      const { at, repository, digest, tag } = call
      const repositoryId = repositories.ensureCached(repository, at)
      if (repositoryId === undefined) return { stale: undefined }
      const tags = tag === undefined ? [] : [tag]
      const stored = manifests.put(repositoryId, {
        ...call,
        caller: SYSTEM,
        tags,
        optionalRoles: [],
        usedAt: at,
      })
      if (stored.inserted) references.insert(repositoryId, stored.id, call.manifest.references)
      references.markUsed(repositoryId, stored.id)
      labels.put(repositoryId, stored.id, call.labels)
      if (stored.appeared) {
        reach.appeared(stored.id)
        recordEvent({ type: 'manifest.cache', repository, digest }, SYSTEM, at)
      }
      const isMoved = tag !== undefined && follow(repositoryId, call, tag, stored.id)
      return { stale: stored.replaced || isMoved ? 'content' : undefined }
    },

    /** Links a blob of an upstream into repositories. */
    linkCached(call: LinkedBlob & { at: number; repositories: RepositoryName[] }): void {
      for (const repository of call.repositories) {
        const repositoryId = repositories.ensureCached(repository, call.at)
        if (repositoryId !== undefined) linkBlob(repositoryId, call, call.at, true)
      }
    },

    /** Records when cached content was last used. */
    touchCached({ uses }: { uses: Use[] }): void {
      for (const { repository, digest, isBlob, at } of uses) {
        const mark = isBlob ? marks.naming : marks.manifest
        mark.run({ name: repository, digest: digestToBytes(digest), at })
      }
    },

    /** Records when upstreams last confirmed tags. */
    noteChecks({ checks }: { checks: { repository: RepositoryName; tag: Tag; at: number }[] }): void {
      for (const { repository, tag, at } of checks) marks.checked.run({ name: repository, tag, at })
    },
  }
}

/** Points a tag to where it points at the upstream; a pushed tag stays as it is. Returns whether the tag moved. */
function followTag(db: Db, { recordEvent, tags }: Rows) {
  const setChecked = updateBy(db, tag, ['checkedAt'], 'repositoryId', 'name')
  return (repositoryId: number, call: CachedManifestPut, name: Tag, manifestId: number) => {
    const { at, repository } = call
    const digest = digestToBytes(call.digest)
    const before = tags.find(repositoryId, name, at)
    if (before?.checkedAt === null) return false
    if (before?.manifestId === manifestId && before.digest.equals(digest)) {
      setChecked.run({ repositoryId, name, checkedAt: at })
      return false
    }
    const target = { manifestId, digest, expiresAt: null, checkedAt: at }
    tags.put(repositoryId, name, target, before, { caller: SYSTEM, at, act: 'tag.follow' })
    recordEvent({ type: 'tag.follow', repository, tag: name, digest: call.digest }, SYSTEM, at)
    return before !== undefined
  }
}

function useMarks(db: Db) {
  const idOf = (name: Placeholder) =>
    sql`(select id from repository where name = ${name} and deleted_at is null)`
  const used = { name: text, digest: bytes, at: number }
  return {
    manifest: statement(
      db,
      used,
      ({ name, digest, at }) => sql`update manifest set used_at = max(used_at, ${at})
        where digest = ${digest} and used_at is not null and repository_id = ${idOf(name)}`,
    ),
    naming: statement(
      db,
      used,
      ({ name, digest, at }) => sql`update manifest set used_at = max(used_at, ${at})
        where id in (select manifest_id from manifest_reference
          where digest = ${digest} and repository_id = ${idOf(name)}) and used_at is not null`,
    ),
    checked: statement(
      db,
      { name: text, tag: text, at: number },
      ({ name, tag, at }) => sql`update tag set checked_at = ${at}
        where repository_id = ${idOf(name)} and name = ${tag} and checked_at is not null`,
    ),
  }
}

/** Upstreams of one data folder that were added with the API. */
const UPSTREAMS_MAX = 100

/** An upstream that was added with the API. */
export type UpstreamRow = typeof upstream.$inferSelect

interface UpstreamWrite extends Write {
  name: string
}

interface UpstreamPut extends UpstreamWrite {
  settings: string
  secret: string | null
  /** The version of the row whose secret was kept; undefined if there was no row. */
  seen: number | undefined
  /** Details for the audit log, never a secret. */
  detail: Record<string, string | string[] | undefined>
}

/** Changes of upstreams, each for one call of the writer. They throw PRECONDITION_FAILED. */
export function upstreamWrites(
  db: Db,
  { recordAct, version }: { recordAct: RecordAct; version: VersionOfCall },
) {
  const localUnder = localNames(db)
  const rows = selectBy(db, upstream, 'name')
  const all = pageBy(db, upstream, ['name', 'asc'])
  const put = putInto(db, upstream)
  const remove = deleteBy(db, upstream, 'name')
  const find = ({ name, condition }: UpstreamWrite) => {
    const row = rows.get({ name })
    checkVersion(`upstream ${name}`, row?.version, condition)
    return row
  }
  return {
    /** Adds or replaces an upstream. Throws CONFLICT if local repositories have its name. */
    putUpstream(call: UpstreamPut): void {
      const { caller, at, name, settings, secret, seen, detail } = call
      const row = find(call)
      if (row?.version !== seen)
        throw registryError('CONFLICT', `upstream ${name} was changed at the same time: try again`)
      const repositories = localUnder(name)
      if (repositories.length > 0) throw registryError('CONFLICT', localNamesTaken(name, repositories))
      if (row === undefined && all.all({ last: '', limit: UPSTREAMS_MAX }).length >= UPSTREAMS_MAX)
        throw registryError('CONFLICT', `there are ${UPSTREAMS_MAX} upstreams: remove some`)
      const createdAt = row?.createdAt ?? at
      put.run({ name, settings, secret, createdAt, changedAt: at, version: version() })
      const action = row === undefined ? 'upstream.create' : 'upstream.change'
      recordAct({ action, target: name, detail }, caller, at)
    },

    /** Throws NOT_FOUND. */
    removeUpstream(call: UpstreamWrite): void {
      const { caller, at, name } = call
      if (find(call) === undefined) throw registryError('NOT_FOUND', `there is no upstream ${name}`)
      remove.run({ name })
      recordAct({ action: 'upstream.delete', target: name }, caller, at)
    },
  }
}

/** Says why a name cannot be an upstream's. */
export function localNamesTaken(name: string, repositories: string[]): string {
  return (
    `upstream ${name}: local repositories have names that begin with ${name}/, for example ` +
    `${repositories.slice(0, 3).join(', ')}: delete or rename them, or give the upstream another name`
  )
}

/** Reads of the upstreams that were added with the API. */
export function upstreamReads(db: Db) {
  const rows = selectBy(db, upstream, 'name')
  const all = pageBy(db, upstream, ['name', 'asc'])
  return {
    list: (): UpstreamRow[] => all.all({ last: '', limit: UPSTREAMS_MAX }),
    find: (name: string): UpstreamRow | undefined => rows.get({ name }),
  }
}

/** Returns some local repositories whose name begins with a component. */
function localNames(db: Db): (first: string) => string[] {
  const names = statement(
    db,
    { from: text, to: text },
    ({ from, to }) => sql<{ name: string }>`select name from repository
      where name >= ${from} and name < ${to} and upstream is null and deleted_at is null limit 10`,
  )
  return (first) => names.all({ from: `${first}/`, to: `${first}0` }).map(({ name }) => name)
}
