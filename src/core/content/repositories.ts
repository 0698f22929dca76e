import type { Write } from '../../domain/access/caller.ts'
import type { Principal } from '../../domain/access/principal.ts'
import type { RepositorySet } from '../../domain/repository-set.ts'
import type { GarbageWindow } from '../../domain/retention/garbage-window.ts'
import { parseTagPattern } from '../../domain/retention/tag-pattern.ts'
import type { RepositoryRow } from '../../metadata/content/repositories/catalog.ts'
import type { RepositorySettings } from '../../metadata/content/repositories/repository-writes.ts'
import type { Metadata } from '../../metadata/metadata.ts'
import type { Rewound } from '../../metadata/time-machine/rewind.ts'
import type { RepositoryName } from '../../oci/reference.ts'
import type { ProxyCache } from '../../proxy/proxy-cache.ts'
import {
  formatCursor,
  type ListPage,
  PAGE_DEFAULT,
  type PageQuery,
  pageOfPart,
  parseCursor,
} from '../page.ts'
import { unknownRepository } from '../unknown.ts'
import type { OnlyLocal } from './cache/only-local.ts'

/** A repository as the caller may see it. */
export interface RepositorySummary extends Omit<RepositoryRow, 'ownBytes' | keyof ImmutableColumns> {
  /** Patterns of the tags that can be created, but not moved or deleted. */
  immutableTags: string[]
  tags: number
  /**
   * Bytes that no other repository links. For server admins only: anyone who can push could otherwise find out whether
   * another repository has the same content.
   */
  ownBytes: number | undefined
  /** For a deleted repository, in milliseconds since 1970. */
  restorableUntil: number | undefined
}

/** The columns for immutable tags: whether all are, and patterns of those that are. */
type ImmutableColumns = Pick<RepositorySettings, 'immutableTags' | 'immutablePatterns'>

/** Settings of a repository that a caller gives. The pattern `*` makes all its tags immutable. */
export type GivenSettings = Partial<
  Omit<RepositorySettings, keyof ImmutableColumns> & Pick<RepositorySummary, 'immutableTags'>
>

/** The pattern that matches all tags. */
const ALL_TAGS = '*'

export interface RepositorySearch extends PageQuery {
  /** Part of the name or the description. */
  q?: string | undefined
  /** Lists the deleted repositories that the caller may restore, instead of those that exist. */
  deleted?: boolean | undefined
}

export interface RepositoryOptions {
  metadata: Metadata
  garbageWindow: GarbageWindow
  cache: ProxyCache
  requireLocal: OnlyLocal
  now: () => number
}

export type RepositoryService = ReturnType<typeof repositoryService>

/** Lists, searches and changes repositories. */
export function repositoryService(options: RepositoryOptions) {
  return { ...reads(options), ...changes(options) }
}

function reads({ metadata, garbageWindow, now }: RepositoryOptions) {
  const { windowMs } = garbageWindow
  const summary = (
    principal: Principal,
    { immutableTags: areAllImmutable, immutablePatterns, ...row }: RepositoryRow,
    tags: number,
  ): RepositorySummary => ({
    ...row,
    immutableTags: areAllImmutable ? [ALL_TAGS, ...immutablePatterns] : immutablePatterns,
    tags,
    ownBytes: principal.isAdmin ? row.ownBytes : undefined,
    restorableUntil: row.deletedAt === null ? undefined : row.deletedAt + windowMs,
  })
  const summaries = async (principal: Principal, rows: RepositoryRow[]) => {
    const counts = await metadata.catalog.countTags(rows, now())
    return rows.map((row) => summary(principal, row, counts.get(row.id) ?? 0))
  }
  const listDeleted = async (principal: Principal, query: PageQuery) => {
    const [deletedAt = 0, id = 0] = parseCursor(query.cursor, Number.MAX_SAFE_INTEGER, 0)
    const asked = { windowStart: now() - windowMs, after: { deletedAt, id } }
    const { limit = PAGE_DEFAULT } = query
    return await pageOfPart(
      await metadata.catalog.deletedRepositories(principal.deletable(), asked, limit),
      (rows) => summaries(principal, rows),
      (end) => formatCursor(end.deletedAt, end.id),
    )
  }
  return {
    /** Lists repositories that the caller may pull from, by name. Deleted ones come most recently deleted first. */
    async list(principal: Principal, query: RepositorySearch): Promise<ListPage<RepositorySummary>> {
      if (query.deleted) return await listDeleted(principal, query)
      const { q = '', cursor = '', limit = PAGE_DEFAULT } = query
      return await pageOfPart(
        await metadata.catalog.repositories(principal.pullable(), q, cursor, limit),
        (rows) => summaries(principal, rows),
        (name) => name,
      )
    },

    /** Returns at most `limit` repositories of a set whose name or description contains the words. */
    async search(visible: RepositorySet, words: string, limit: number): Promise<RepositoryRow[]> {
      return (await metadata.catalog.repositories(visible, words, '', limit)).rows
    },

    async find(repository: RepositoryName): Promise<RepositoryRow | undefined> {
      return metadata.catalog.findRepository(repository)
    },

    /** Throws NAME_UNKNOWN. */
    async get(principal: Principal, repository: RepositoryName): Promise<RepositorySummary> {
      const row = await metadata.catalog.findRepository(repository)
      if (row === undefined) throw unknownRepository(repository)
      const counts = await metadata.catalog.countTags([row], now())
      return summary(principal, row, counts.get(row.id) ?? 0)
    },
  }
}

/** The changes of repositories. All throw PRECONDITION_FAILED when their condition does not hold. */
function changes({ metadata, garbageWindow: { windowMs }, cache, requireLocal }: RepositoryOptions) {
  const refuseSettings = (
    repository: RepositoryName,
    { immutableTags = [], untaggedDays = null }: GivenSettings,
  ) => {
    for (const pattern of immutableTags) parseTagPattern(pattern)
    if (immutableTags.length > 0)
      requireLocal(repository, 'its tags follow the upstream, and cannot be immutable')
    if (untaggedDays !== null)
      requireLocal(repository, 'untagged manifests stay until there is no room for them ("untaggedDays")')
  }
  return {
    /** Creates a repository or replaces its settings; omitted ones get their defaults. Returns whether it is new. */
    async put(act: Write, repository: RepositoryName, settings: GivenSettings): Promise<boolean> {
      refuseSettings(repository, settings)
      if (metadata.repositories.find(repository) === undefined)
        requireLocal(repository, 'the first pull creates it')
      return (await metadata.write('putRepository', { ...act, repository, ...toColumns(settings) })).isNew
    },

    /** Changes the given settings. Throws NAME_UNKNOWN. */
    async change(act: Write, repository: RepositoryName, given: GivenSettings): Promise<void> {
      refuseSettings(repository, given)
      await metadata.write('changeRepository', { ...act, repository, change: toColumns(given) })
    },

    /** Deletes a repository with its content; cached content is evicted. Throws NAME_UNKNOWN. */
    async delete(act: Write, repository: RepositoryName): Promise<void> {
      if (cache.upstreams.of(repository)) return await cache.manifests.evictAll(act, repository)
      await metadata.write('deleteRepository', { ...act, repository })
    },

    /** Restores the repository deleted at this time, or the last deleted one. Throws NAME_UNKNOWN or CONFLICT. */
    async restore(act: Write, repository: RepositoryName, deletedAt: number | undefined): Promise<void> {
      requireLocal(repository, 'its deleted content was evicted and cannot be restored')
      const windowStart = act.at - windowMs
      await metadata.write('restoreRepository', { ...act, repository, windowStart, deletedAt })
    },

    /** Points every tag where it pointed at a time. Throws NAME_UNKNOWN, DENIED (409) or REQUEST_INVALID. */
    async rewind(act: Write, repository: RepositoryName, to: number): Promise<Rewound> {
      requireLocal(repository, 'its tags follow the upstream, and cannot be rewound')
      const windowStart = act.at - windowMs
      const { stale: _, ...rewound } = await metadata.write('rewindRepository', {
        ...act,
        repository,
        windowStart,
        to,
      })
      return rewound
    },
  }
}

function toColumns({ immutableTags: patterns, ...settings }: GivenSettings): Partial<RepositorySettings> {
  const immutable: Partial<ImmutableColumns> = patterns
    ? {
        immutableTags: patterns.includes(ALL_TAGS),
        immutablePatterns: patterns.filter((pattern) => pattern !== ALL_TAGS),
      }
    : {}
  return { ...settings, ...immutable }
}
