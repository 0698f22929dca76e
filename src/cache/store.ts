import { and, asc, eq, gt, gte, isNotNull, isNull, lt, lte, max, type Placeholder, sql } from 'drizzle-orm'
import type { Write } from '../access/access.ts'
import type { RecordAct } from '../accounts/store.ts'
import type { Db } from '../database/database.ts'
import { checkVersion, type ReadTotal, type VersionOfCall } from '../database/operation.ts'
import { manifest, manifestReference, repository, tag, upstream } from '../database/schema.ts'
import { bytes, deleteBy, number, pageBy, putInto, selectBy, statement, text } from '../database/statement.ts'
import { type Digest, digestFromBytes, digestToBytes } from '../oci/digest.ts'
import { registryError } from '../oci/error.ts'
import type { RepositoryName, Tag } from '../oci/reference.ts'
import { turn } from '../runtime/turn.ts'

declare module '../database/metadata.ts' {
  interface Reads {
    cache: ReturnType<typeof cacheReads>
    cacheLists: ReturnType<typeof cacheLists>
    upstreams: ReturnType<typeof upstreamReads>
  }
  interface Operations extends ReturnType<typeof upstreamWrites> {}
}

/** How many manifests that reference a blob are examined. */
const NAMING_MAX = 8

/**
 * How many links of a blob are examined, which takes some milliseconds. If none of them answers the question, the
 * blob is fetched from the upstream again.
 */
const LINKS_MAX = 1000

/** How much is stored that may be evicted. */
export interface CachedTotals {
  /** The bytes of blobs and manifests. */
  bytes: number
  /** The bytes of manifests, counted in each repository that has them. */
  manifestBytes: number
  /** The number of blobs. */
  blobs: number
}

/** Reads of cached content. */
export function cacheReads(db: Db, total: ReadTotal) {
  const { check, naming } = readStatements(db)
  const { lender, holders } = holderStatements(db)
  return {
    totals: (): CachedTotals => {
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
  }
}

function readStatements(db: Db) {
  const inRepository = (name: Placeholder) => and(eq(repository.name, name), isNull(repository.deletedAt))
  const check = statement(db, { name: text, tag: text }, (wanted) =>
    db
      .select({ digest: tag.digest, checkedAt: tag.checkedAt })
      .from(repository)
      .innerJoin(tag, eq(tag.repositoryId, repository.id))
      .where(and(inRepository(wanted.name), eq(tag.name, wanted.tag))),
  )
  const naming = statement(
    db,
    { name: text, digest: bytes, bytesMax: number },
    ({ name, digest, bytesMax }) =>
      db
        .select({ digest: manifest.digest })
        .from(repository)
        .innerJoin(manifestReference, eq(manifestReference.repositoryId, repository.id))
        .innerJoin(manifest, eq(manifest.id, manifestReference.manifestId))
        .where(
          and(
            inRepository(name),
            eq(manifestReference.digest, digest),
            isNull(manifest.deletedAt),
            lte(manifest.size, bytesMax),
          ),
        )
        .limit(NAMING_MAX),
  )
  return { check, naming }
}

/** Returns who links a blob, among its first links. */
function holderStatements(db: Db) {
  const links = (digest: Placeholder) => sql`(select repository_id, is_cached, deleted_at from repository_blob
    where blob_id = (select id from blob where digest = ${digest}) limit ${LINKS_MAX}) l
    join repository on repository.id = l.repository_id`
  const size = (digest: Placeholder) => sql`(select size from blob where digest = ${digest}) as size`
  const lender = statement(
    db,
    { digest: bytes, upstream: text },
    ({ digest, upstream }) => sql<{ size: number }>`select ${size(digest)} from ${links(digest)}
      where repository.upstream = ${upstream} and l.is_cached = 1
        and l.deleted_at is null and repository.deleted_at is null
      limit 1`,
  )
  const holders = statement(
    db,
    { digest: bytes },
    ({ digest }) => sql<{ upstream: string | null; size: number; isCached: number }>`
      select distinct repository.upstream as upstream, ${size(digest)}, l.is_cached as "isCached"
      from ${links(digest)} limit 100`,
  )
  return { lender, holders }
}

/** How many rows are examined in one turn of some milliseconds. */
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

/** Lists of cached content, which are read some rows per turn. */
export function cacheLists(db: Db) {
  const { lastRepository, repositories, tags, lastManifest, manifests } = listStatements(db)
  return {
    /** Returns at most `limit` cached tags after the given one, by repository and name. */
    async tags(after: { repositoryId: number; tag: string }, limit: number): Promise<CachedTagRow[]> {
      const rows: CachedTagRow[] = []
      const end = lastRepository.get({})?.id ?? 0
      for (let from = after.repositoryId; from <= end && rows.length < limit; from += ROWS_A_TURN) {
        for (const found of repositories.all({ from, before: from + ROWS_A_TURN })) {
          if (rows.length === limit) break
          const last = found.repositoryId === after.repositoryId ? after.tag : ''
          const page = tags.all({ repositoryId: found.repositoryId, last, limit: limit - rows.length })
          rows.push(
            ...page.map((row) => ({
              repositoryId: found.repositoryId,
              repository: found.name as RepositoryName,
              tag: row.name as Tag,
              digest: digestFromBytes(row.digest),
              checkedAt: row.checkedAt,
            })),
          )
        }
        await turn()
      }
      return rows
    },

    /** Counts the cached manifests. */
    async countManifests(): Promise<number> {
      const end = lastManifest.get({})?.id ?? 0
      let count = 0
      for (let from = 0; from <= end; from += ROWS_A_TURN) {
        count += manifests.get({ from, before: from + ROWS_A_TURN })?.count ?? 0
        await turn()
      }
      return count
    },
  }
}

function listStatements(db: Db) {
  const range = { from: number, before: number }
  return {
    lastRepository: statement(db, {}, () => db.select({ id: max(repository.id) }).from(repository)),
    repositories: statement(db, range, ({ from, before }) =>
      db
        .select({ repositoryId: repository.id, name: repository.name })
        .from(repository)
        .where(and(gte(repository.id, from), lt(repository.id, before), isNotNull(repository.upstream)))
        .orderBy(asc(repository.id)),
    ),
    tags: statement(
      db,
      { repositoryId: number, last: text, limit: number },
      ({ repositoryId, last, limit }) =>
        db
          .select({ name: tag.name, digest: tag.digest, checkedAt: sql<number>`${tag.checkedAt}` })
          .from(tag)
          .where(and(eq(tag.repositoryId, repositoryId), gt(tag.name, last), isNotNull(tag.checkedAt)))
          .orderBy(asc(tag.name))
          .limit(limit),
    ),
    lastManifest: statement(db, {}, () => db.select({ id: max(manifest.id) }).from(manifest)),
    manifests: statement(db, range, ({ from, before }) =>
      db
        .select({ count: sql<number>`count(*)` })
        .from(manifest)
        .where(and(gte(manifest.id, from), lt(manifest.id, before), isNotNull(manifest.usedAt))),
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

export interface UpstreamPut extends UpstreamWrite {
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
  const refuseLocalNames = (name: string) => {
    const repositories = localUnder(name)
    if (repositories.length > 0) throw registryError('CONFLICT', localNamesTaken(name, repositories))
  }
  const refuseTooMany = () => {
    if (all.all({ last: '', limit: UPSTREAMS_MAX }).length < UPSTREAMS_MAX) return
    throw registryError('CONFLICT', `there are ${UPSTREAMS_MAX} upstreams: remove some`)
  }
  return {
    /** Adds or replaces an upstream. Throws CONFLICT if local repositories have its name. */
    putUpstream(call: UpstreamPut): void {
      const { caller, at, name, settings, secret, seen, detail } = call
      const row = find(call)
      if (row?.version !== seen)
        throw registryError('CONFLICT', `upstream ${name} was changed at the same time: try again`)
      refuseLocalNames(name)
      if (row === undefined) refuseTooMany()
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
  const names = statement(db, { from: text, to: text }, ({ from, to }) =>
    db
      .select({ name: repository.name })
      .from(repository)
      .where(
        and(
          sql`${repository.name} >= ${from} and ${repository.name} < ${to}`,
          isNull(repository.upstream),
          isNull(repository.deletedAt),
        ),
      )
      .limit(10),
  )
  return (first) => names.all({ from: `${first}/`, to: `${first}0` }).map(({ name }) => name)
}
