import type { Principal, Write } from '../access/access.ts'
import { parseTagPattern, type RepositorySet } from '../access/patterns.ts'
import type { Metadata } from '../database/metadata.ts'
import type { Rewound } from '../history/store.ts'
import {
  formatCursor,
  type ListPage,
  PAGE_DEFAULT,
  type PageQuery,
  pageOfPart,
  parseCursor,
  readPage,
} from '../http/list-page.ts'
import { registryError } from '../oci/error.ts'
import type { RepositoryName, Tag } from '../oci/reference.ts'
import { unknownRepository } from '../registry/registry.ts'
import type { PullKey, RepositorySettings } from '../registry/store.ts'
import { DAY_MS, dayOf } from '../runtime/clock.ts'
import type { UploadProgress, UploadsInProgress } from '../storage/blob-store.ts'
import type { ContentParts } from './content.ts'
import { UPLOADS_COUNTED_MAX } from './limits.ts'
import type { RepositoryRow, RepositoryStorage, StorageCursor } from './store.ts'

declare module '../http/controller.ts' {
  interface ApiServices {
    repositories: ReturnType<typeof repositoryService>
    uploads: ReturnType<typeof uploadService>
    pullCounts: ReturnType<typeof pullService>
    storage: ReturnType<typeof storageService>
  }
}

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

/** Lists, searches and changes repositories. */
export function repositoryService(options: ContentParts) {
  return { ...reads(options), ...changes(options) }
}

function reads({ metadata, garbageWindow, now }: ContentParts) {
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
    async list(
      principal: Principal,
      query: PageQuery & { q?: string | undefined; deleted?: boolean | undefined },
    ): Promise<ListPage<RepositorySummary>> {
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
function changes({ metadata, garbageWindow: { windowMs }, cache, requireLocal }: ContentParts) {
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

/** How many days pull counts are kept. */
const PULL_DAYS = 90

const NEWEST: PullKey = { day: Number.MAX_SAFE_INTEGER, id: 0 }

/**
 * Who pulled what.
 *
 * @param usage counts pulls in memory until they are flushed
 */
export function pullService(
  { pulls, write }: Pick<Metadata, 'pulls' | 'write'>,
  now: () => number,
  usage: { flush(): Promise<void> },
) {
  const oldestDay = () => dayOf(now()) - PULL_DAYS
  return {
    /** Lists the pulls of one tag, or of a whole repository, newest day first. Throws NAME_UNKNOWN. */
    async list(repository: RepositoryName, tag: Tag | undefined, query: PageQuery) {
      const [day = 0, id = 0] = parseCursor(query.cursor, NEWEST.day, NEWEST.id)
      if (query.cursor === undefined) await usage.flush()
      const read = async (limit: number) => {
        const rows = await pulls.list(repository, tag, { day, id }, limit)
        if (rows === undefined) throw unknownRepository(repository)
        return rows
      }
      const page = await readPage(query, read, (row) => formatCursor(row.day, row.id))
      return {
        ...page,
        items: page.items.map(({ id, day, ...row }) => ({
          ...row,
          day: new Date(day * DAY_MS).toISOString().slice(0, 10),
        })),
      }
    },

    /** Deletes pulls that are older than 90 days. */
    async removeOld(): Promise<void> {
      while ((await write('removePulls', { before: oldestDay() })).more);
    },
  }
}

/** How much is stored. Sizes are in bytes. */
export interface StorageTotals {
  blobs: { count: number; bytes: number }
  /** Uploads in progress. At most UPLOADS_COUNTED_MAX are counted. */
  uploads: { count: number; bytes: number }
  /** The file system of the data folder. */
  disk: { totalBytes: number; freeBytes: number }
}

/** Reports how much is stored, in total and by repository. */
export function storageService(
  metadata: Metadata,
  uploads: UploadsInProgress,
  disk: () => Promise<StorageTotals['disk']>,
) {
  return {
    async totals(): Promise<StorageTotals> {
      const { blobs: count, bytes } = await metadata.storage.totals()
      const [measured, free] = await Promise.all([uploads.measure(UPLOADS_COUNTED_MAX), disk()])
      const inProgress = { count: measured.uploads, bytes: measured.bytes }
      return { blobs: { count, bytes }, uploads: inProgress, disk: free }
    },

    /** Lists repositories with the bytes that each links: by name, or by `bytes`, the largest first. */
    list(query: PageQuery & { sort?: 'name' | 'bytes' | undefined }): Promise<ListPage<RepositoryStorage>> {
      const isByBytes = query.sort === 'bytes'
      const after: StorageCursor = isByBytes
        ? afterBytes(query.cursor)
        : { by: 'name', name: query.cursor ?? '' }
      return readPage(
        query,
        (limit) => metadata.storage.list(after, limit),
        ({ name, bytes, id }) => (isByBytes ? formatCursor(bytes, id) : name),
      )
    },
  }
}

function afterBytes(last: string | undefined): StorageCursor {
  const [bytes = 0, id = 0] = parseCursor(last, Number.MAX_SAFE_INTEGER, 0)
  return { by: 'bytes', bytes, id }
}

/** Lists and cancels the uploads in progress, for server admins. */
export function uploadService(metadata: Metadata, uploads: UploadsInProgress) {
  return {
    /** Lists the uploads that have bytes, oldest first. */
    list(query: PageQuery): Promise<ListPage<UploadProgress>> {
      const { cursor = '' } = query
      return readPage(
        query,
        (limit) => uploads.list(cursor, limit),
        ({ name }) => name,
      )
    },

    /** Cancels an upload once no request is using it. Throws NOT_FOUND. */
    async cancel(act: Write, id: string): Promise<void> {
      if (!(await uploads.drop(id))) throw registryError('NOT_FOUND', `there is no upload ${id}`)
      await metadata.write('noteAct', { ...act, action: 'upload.cancel', target: id })
    },
  }
}
