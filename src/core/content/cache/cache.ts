import type { Write } from '../../../domain/access/caller.ts'
import type { Metadata } from '../../../metadata/metadata.ts'
import { registryError } from '../../../oci/error.ts'
import type { Reference, RepositoryName, Tag } from '../../../oci/reference.ts'
import type { ProxyCache } from '../../../proxy/proxy-cache.ts'
import { invalidCursor, type PageQuery, readPage } from '../../page.ts'
import { type CacheExplanation, explain, nameOf } from './explanation.ts'

/** What is known of the cache at once. Sizes are in bytes. */
export interface CacheTotals {
  bytes: number
  manifestBytes: number
  /** Of interrupted downloads. */
  partialBytes: number
  blobs: number
  /** 0 for no limit but the disk. */
  bytesMax: number
  /** Blobs that are being fetched. */
  fills: number
}

/** How much the cache holds, its limits, and how much it is used. */
export interface CacheState extends CacheTotals {
  manifests: number
  /** Since the server started. */
  use: ReturnType<ProxyCache['counts']['totals']>
}

/** A blob that is being fetched. */
export interface FillState {
  digest: string
  repository: RepositoryName
  size: number
  received: number
}

/** Shows, refreshes and evicts cached content, for administrators. */
export function cacheService(cache: ProxyCache, metadata: Metadata, now: () => number) {
  const cachedUpstream = (repository: RepositoryName) => {
    const upstream = cache.upstreams.of(repository)
    if (upstream !== undefined) return upstream
    throw registryError(
      'NOT_FOUND',
      `${repository} is not a cached repository: the names of those begin with the name of an upstream`,
    )
  }
  const totals = () => readTotals(cache, metadata)
  return {
    totals,

    show: async (): Promise<CacheState> => ({
      ...totals(),
      manifests: await metadata.cacheLists.countManifests(),
      use: cache.counts.totals(),
    }),

    fills: (): FillState[] =>
      cache.listFills().map(({ order, received }) => {
        const { digest, repository, size } = order
        return { digest, repository, size, received }
      }),

    /** Cached tags, by their repositories. */
    tags(query: PageQuery) {
      const after = parseTagCursor(query.cursor)
      return readPage(
        query,
        async (limit) =>
          (await metadata.cacheLists.tags(after, limit)).map((row) => ({
            ...row,
            isFresh: cache.isFresh(row.repository, row.tag),
          })),
        ({ repositoryId, tag }) => `${repositoryId}/${tag}`,
      )
    },

    /** Checks a tag now, and follows it. Throws what a pull would. */
    async refresh({ caller, at }: Write, repository: RepositoryName, tag: Tag): Promise<{ digest: string }> {
      cachedUpstream(repository)
      const digest = await cache.manifests.refresh(repository, tag)
      const target = nameOf(repository, { tag })
      await metadata.write('noteAct', { caller, at, action: 'cache.refresh', target })
      return { digest }
    },

    /** Evicts one manifest with its tags, or a tag. */
    async evict(act: Write, repository: RepositoryName, reference: Reference): Promise<void> {
      cachedUpstream(repository)
      await cache.manifests.evict(act, repository, reference)
      const { caller, at } = act
      await metadata.write('noteAct', {
        caller,
        at,
        action: 'cache.evict',
        target: nameOf(repository, reference),
      })
    },

    explain: (repository: RepositoryName, reference: Reference): Promise<CacheExplanation> =>
      explain({ cache, metadata, now }, cachedUpstream(repository), repository, reference),
  }
}

function readTotals(cache: ProxyCache, metadata: Metadata): CacheTotals {
  const { partialBytes, bytesMax } = cache
  const { bytes, manifestBytes, blobs } = metadata.cache.totals()
  const fills = cache.listFills().length
  return { bytes: bytes + partialBytes, manifestBytes, partialBytes, blobs, bytesMax, fills }
}

function parseTagCursor(text: string | undefined): { repositoryId: number; tag: string } {
  if (text === undefined || text === '') return { repositoryId: 0, tag: '' }
  const [, id, tag] = /^(\d{1,15})\/([\w.-]{1,128})$/.exec(text) ?? []
  if (id !== undefined && tag !== undefined) return { repositoryId: Number(id), tag }
  throw invalidCursor()
}
