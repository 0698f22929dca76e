import { and, asc, eq, gte, isNull, sql } from 'drizzle-orm'
import type { RepositorySet } from '../access/patterns.ts'
import type { Db } from '../database/database.ts'
import { type Part, readByName } from '../database/lists.ts'
import type { VersionOfCall } from '../database/operation.ts'
import { repository, upstream } from '../database/schema.ts'
import { insertForId, number, selectBy, statement, text, updateBy } from '../database/statement.ts'
import { type RegistryError, registryError } from '../oci/error.ts'
import type { RepositoryName } from '../oci/reference.ts'

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

/** The settings of a repository. */
export interface RepositorySettings {
  description: string
  /** Days until a manifest that never had a tag is collected; null for the server's setting. */
  untaggedDays: number | null
  /** Whether its tags can only be created, not moved or deleted. */
  immutableTags: boolean
  /** The same for tags that match one of these patterns. */
  immutablePatterns: string[]
}

/**
 * The rows of repositories, for writes. The first push to a name creates one; a push does not restore a deleted one.
 *
 * @param count counts a cached repository that has become a local one
 */
export function repositoryRows(db: Db, version: VersionOfCall, count: (id: number) => void) {
  const reads = repositoryReads(db)
  const insert = insertForId(db, repository)
  // Configured upstreams are not in the table. They change only with a restart.
  const upstreams = selectBy(db, upstream, 'name')
  const own = updateBy(db, repository, ['upstream'], 'id')
  const create = (name: RepositoryName, at: number, owner: string | null) =>
    insert.get({ name, createdAt: at, upstream: owner, version: version() }).id
  const change = updateBy(
    db,
    repository,
    ['description', 'untaggedDays', 'immutableTags', 'immutablePatterns', 'version'],
    'id',
  )
  const setDeleted = updateBy(db, repository, ['deletedAt', 'version'], 'id')
  const state = selectState(db)
  return {
    ...reads,

    /**
     * Returns the id of a local repository. A push to a repository whose upstream was removed makes it a local one.
     * Its cached content can still be evicted. Throws UNSUPPORTED for a name that begins with an upstream's, which may
     * have been added since the push began.
     */
    ensureLocal(name: RepositoryName, at: number): number {
      const found = reads.findOwner(name)
      if (found?.upstream === null) return found.id
      const first = firstOf(name)
      if (upstreams.get({ name: first })) throw pullOnly(first)
      if (found === undefined) return create(name, at, null)
      own.run({ id: found.id, upstream: null })
      count(found.id)
      return found.id
    },

    /**
     * Returns the id of a repository whose name begins with the upstream's. Returns undefined for a local one, into
     * which nothing is cached: its upstream was removed since the fetch began.
     */
    ensureCached(name: RepositoryName, at: number): number | undefined {
      const found = reads.findOwner(name)
      if (found === undefined) return create(name, at, firstOf(name))
      return found.upstream === null ? undefined : found.id
    },

    /** Returns the settings and the version of a repository that is not deleted. */
    findState: (name: RepositoryName) => state.get({ name }),
    change: (id: number, settings: RepositorySettings) => change.run({ ...settings, id, version: version() }),
    /** Deletes the repository, or restores it with null. */
    setDeleted: (id: number, deletedAt: number | null) =>
      setDeleted.run({ id, deletedAt, version: version() }),
  }
}

function selectState(db: Db) {
  return statement(db, { name: text }, ({ name }) =>
    db
      .select({
        id: repository.id,
        description: repository.description,
        untaggedDays: repository.untaggedDays,
        immutableTags: repository.immutableTags,
        immutablePatterns: repository.immutablePatterns,
        version: repository.version,
      })
      .from(repository)
      .where(and(eq(repository.name, name), sql`${repository.deletedAt} is null`)),
  )
}

/** Returns the first component, which is the upstream's name in that of a cached repository. */
function firstOf(name: RepositoryName): string {
  return name.split('/', 1)[0] ?? ''
}

/** Returns the error for pushes to repositories of an upstream. */
export function pullOnly(upstream: string): RegistryError {
  return registryError(
    'UNSUPPORTED',
    `repositories of ${upstream} are cached and cannot be pushed to: push to a name that does not begin with ${upstream}/`,
  )
}
