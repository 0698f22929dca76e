import { and, asc, eq, gte, isNull } from 'drizzle-orm'
import type { RepositorySet } from '../../../domain/repository-set.ts'
import type { RepositoryName } from '../../../oci/reference.ts'
import { pullOnly } from '../../cache/upstreams.ts'
import type { Db } from '../../database.ts'
import { insertForId, selectBy, updateBy } from '../../rows.ts'
import { upstream } from '../../schema/cache-schema.ts'
import { repository } from '../../schema/schema.ts'
import { number, statement, text } from '../../statement.ts'
import type { VersionOfCall } from '../../versions.ts'
import { type Part, readPart } from './visible-pages.ts'

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
