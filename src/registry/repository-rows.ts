import { and, asc, eq, gte, isNull } from 'drizzle-orm'
import type { RepositorySet } from '../access/patterns.ts'
import type { Db } from '../database/database.ts'
import type { VersionOfCall } from '../database/operation.ts'
import { repository, total, upstream } from '../database/schema.ts'
import { insertForId, number, putInto, selectBy, statement, text, updateBy } from '../database/statement.ts'
import type { RepositoryName } from '../oci/reference.ts'
import { pullOnly } from './upstream-rows.ts'

declare module '../database/metadata.ts' {
  interface Reads {
    repositories: ReturnType<typeof repositoryReads>
  }
}

export type RepositoryReads = ReturnType<typeof repositoryReads>

/** Reads of repositories. */
export function repositoryReads(db: Db) {
  const byName = statement(db, { name: text }, ({ name }) =>
    db
      .select({ id: repository.id, upstream: repository.upstream })
      .from(repository)
      .where(and(eq(repository.name, name), isNull(repository.deletedAt))),
  )
  const names = statement(db, { from: text, limit: number }, ({ from, limit }) =>
    db
      .select({ id: repository.id, name: repository.name })
      .from(repository)
      .where(and(gte(repository.name, from), isNull(repository.deletedAt)))
      .orderBy(asc(repository.name))
      .limit(limit),
  )
  const findOwner = (name: RepositoryName): OwnedRepository | undefined => byName.get({ name })
  return {
    /** Returns a repository that is not deleted, with the upstream that it is cached from. */
    findOwner,

    /** Returns the id of a repository that is not deleted. */
    find: (name: RepositoryName): number | undefined => findOwner(name)?.id,

    /** Returns at most `limit` repositories of the set after the name `last`, in byte order. */
    list: (set: RepositorySet, last: string, limit: number): Part<NamedRow, string> =>
      readByName(set, last, limit, (from, size) => names.all({ from, limit: size }) as NamedRow[]),
  }
}

interface OwnedRepository {
  id: number
  /** Null for a local repository. */
  upstream: string | null
}

export interface NamedRow {
  id: number
  name: RepositoryName
}

/**
 * Reads a part of a list that is ordered by name.
 *
 * @param read reads from a name on, whether or not it exists
 * @param isFound whether a row belongs to the list
 */
export function readByName<T extends { name: RepositoryName }>(
  set: RepositorySet,
  last: string,
  limit: number,
  read: (from: string, limit: number) => T[],
  isFound: (row: T) => boolean = () => true,
): Part<T, string> {
  return readPart<T, string>(
    {
      read(after, size) {
        const from = set.seek(`${after}\0`)
        return from === undefined ? [] : read(from, size)
      },
      keyOf: ({ name }) => name,
      isShown: (row) => isFound(row) && set.has(row.name),
    },
    last,
    limit,
  )
}

/** Returns the id of a repository. The first push to a name creates it; a push does not restore a deleted one. */
export interface EnsureRepository {
  /**
   * A push to a repository whose upstream was removed makes it a local one. Its cached content can still be evicted.
   * Throws UNSUPPORTED for a name that begins with an upstream's, which may have been added since the push began.
   */
  local(name: RepositoryName, at: number): number
  /**
   * The name begins with the upstream's. Returns undefined for a local repository, into which nothing is cached: its
   * upstream was removed since the fetch began.
   */
  cached(name: RepositoryName, at: number): number | undefined
}

interface EnsuringParts extends Pick<RepositoryReads, 'findOwner'> {
  version: VersionOfCall
  /** Counts a cached repository that has become a local one. */
  count: (id: number) => void
}

export function ensureRepository(db: Db, { findOwner, version, count }: EnsuringParts): EnsureRepository {
  const insert = insertForId(db, repository)
  // Configured upstreams are not in the table. They change only with a restart.
  const upstreams = selectBy(db, upstream, 'name')
  const own = updateBy(db, repository, ['upstream'], 'id')
  const create = (name: RepositoryName, at: number, owner: string | null) =>
    insert.get({ name, createdAt: at, upstream: owner, version: version() }).id
  return {
    local(name, at) {
      const found = findOwner(name)
      if (found?.upstream === null) return found.id
      const first = firstOf(name)
      if (upstreams.get({ name: first })) throw pullOnly(first)
      if (found === undefined) return create(name, at, null)
      own.run({ id: found.id, upstream: null })
      count(found.id)
      return found.id
    },
    cached(name, at) {
      const found = findOwner(name)
      if (found === undefined) return create(name, at, firstOf(name))
      return found.upstream === null ? undefined : found.id
    },
  }
}

/** Returns the first component, which is the upstream's name in that of a cached repository. */
function firstOf(name: RepositoryName): string {
  return name.split('/', 1)[0] ?? ''
}

/** Reads a sum that triggers keep current; 0 if there is none of this name. */
export type ReadTotal = (name: TotalName) => number

type TotalName =
  | 'blob.count'
  | 'blob.bytes'
  | 'cache.count'
  | 'cache.bytes'
  | 'cache.manifest_bytes'
  | 'labels.unread'
  | 'pulls.since'
  | 'quota.counted'
  | 'retention.event'
  | 'retention.policies'
  | 'scrub.blob'
  | 'scrub.manifest'
  | 'scrub.started'

export function totals(db: Db): ReadTotal {
  const byName = selectBy(db, total, 'name')
  return (name) => byName.get({ name })?.value ?? 0
}

/** Writes a value that no trigger updates. */
export type WriteTotal = (name: TotalName, value: number) => void

export function totalWrites(db: Db): WriteTotal {
  const put = putInto(db, total)
  return (name, value) => put.run({ name, value })
}

/** How many rows one page examines, which takes some milliseconds. */
const LOOKED_AT_MAX = 2048

/** How many rows are read at once, at first and at most. */
const CHUNK_MIN = 64
const CHUNK_MAX = 512

/** A part of a list. */
export interface Part<T, K> {
  rows: T[]
  /** The cursor of the next part; undefined at the end. A part may be short or empty and still have a next one. */
  next: K | undefined
}

export interface Walk<T, K> {
  /** Reads at most `limit` rows after a key, in the order of the list. Fewer mean that the list ends. */
  read(after: K, limit: number): T[]
  keyOf(row: T): K
  /** Whether the caller may see a row. */
  isShown(row: T): boolean
}

/** Reads at most `limit` rows that the caller may see, and skips a bounded number of others. */
export function readPart<T, K>(walk: Walk<T, K>, after: K, limit: number): Part<T, K> {
  const rows: T[] = []
  let key = after
  let looked = 0
  for (let size = CHUNK_MIN; limit > 0; size = Math.min(CHUNK_MAX, size * 2)) {
    const chunk = walk.read(key, size)
    for (const row of chunk) {
      if (!walk.isShown(row)) continue
      const last = rows.at(-1)
      if (rows.length === limit && last !== undefined) return { rows, next: walk.keyOf(last) }
      rows.push(row)
    }
    const end = chunk.at(-1)
    if (end === undefined || chunk.length < size) break
    key = walk.keyOf(end)
    looked += chunk.length
    if (looked >= LOOKED_AT_MAX) return { rows, next: key }
  }
  return { rows, next: undefined }
}
