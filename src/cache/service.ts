import type { Write } from '../access/access.ts'
import { matchesPattern, parseRepositoryPattern } from '../access/patterns.ts'
import type { Metadata } from '../database/metadata.ts'
import { invalidCursor, type PageQuery, readPage } from '../http/list-page.ts'
import { registryError } from '../oci/error.ts'
import {
  formatReference,
  parseReference,
  type Reference,
  type RepositoryName,
  type Tag,
} from '../oci/reference.ts'
import type { ProxyCache } from './cache.ts'
import type { Pin } from './pins.ts'
import type { Upstream } from './upstream/upstream.ts'

declare module '../http/controller.ts' {
  interface ApiServices {
    cache: ReturnType<typeof cacheService>
    pins: ReturnType<typeof pinService>
  }
}

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

/** Why something is cached, stale or evicted. */
interface CacheExplanation {
  state: 'fresh' | 'stale' | 'cached' | 'pushed' | 'absent'
  explanation: string
}

/** Returns a reference as people write it, such as `docker.io/library/alpine:3`. */
function nameOf(repository: RepositoryName, reference: Reference): string {
  return `${repository}${reference.tag === undefined ? '@' : ':'}${formatReference(reference)}`
}

function at(time: number): string {
  return `at ${isoTime(time)}`
}

function isoTime(time: number): string {
  return new Date(time).toISOString()
}

interface Sources {
  cache: ProxyCache
  metadata: Metadata
  now: () => number
}

/** Explains why a tag or manifest is here, stale or gone, and what the next pull does. */
async function explain(
  { cache, metadata, now }: Sources,
  upstream: Upstream,
  repository: RepositoryName,
  reference: Reference,
): Promise<CacheExplanation> {
  const what = nameOf(repository, reference)
  const row = metadata.manifests.find(repository, reference, now())
  if (row === undefined) {
    const gone = await describeAbsence(metadata, repository, reference)
    return {
      state: 'absent',
      explanation: `${what} is not cached: ${gone}. ${nextFetch(upstream, repository, 'manifest', now())}`,
    }
  }
  const pinned = await describePin(metadata, repository, reference, row.digest)
  if (reference.tag === undefined) {
    return {
      state: 'cached',
      explanation: `${what} is cached. Pulls by digest never ask ${upstream.name} again${pinned}`,
    }
  }
  const checkedAt = metadata.cache.findTag(repository, reference.tag)?.checkedAt
  if (checkedAt == null)
    return { state: 'pushed', explanation: `${what} was pushed, and follows no upstream` }
  const reason = cache.manifests.checks.staleReason(upstream, repository, reference.tag)
  const isFresh = reason === undefined && cache.isFresh(repository, reference.tag)
  const next = isFresh ? 'Pulls get it without a check' : nextFetch(upstream, repository, 'check', now())
  const why = reason === undefined ? '' : `. Now ${upstream.name} ${reason}`
  return {
    state: isFresh ? 'fresh' : 'stale',
    explanation: `${what} is cached, and ${upstream.name} last confirmed it ${at(checkedAt)}${why}. ${next}${pinned}`,
  }
}

/** Describes what the next pull does, and who refuses to be asked before some time. */
function nextFetch(
  upstream: Upstream,
  repository: RepositoryName,
  kind: 'manifest' | 'check',
  time: number,
): string {
  const { name, settings } = upstream
  if (settings.offline) return `${name} is set to offline, and is not asked`
  if (!upstream.allows(repository))
    return `The setting "repositories" of ${name} excludes ${repository}, so it is not asked`
  if (!upstream.isUpFor(repository))
    return `Requests to ${name} for this repository have failed, so it is asked again only after a pause of at most five minutes`
  const next = kind === 'check' ? 'The next pull checks it with' : 'The next pull fetches it from'
  const limits = upstream
    .limits(kind)
    .map(
      ({ host, leftMs }) =>
        `. ${host} limits requests (429), and is not asked before ${isoTime(time + leftMs)}`,
    )
  return `${next} ${name}${limits.join('')}`
}

/** Describes the pin that keeps a manifest from eviction, if there is one. */
async function describePin(
  metadata: Metadata,
  repository: RepositoryName,
  { tag }: Reference,
  digest: string,
): Promise<string> {
  const names: (string | undefined)[] = ['', tag, digest]
  const pin = (await metadata.pins.list()).find(
    ({ pattern, reference }) =>
      names.includes(reference) && matchesPattern(parseRepositoryPattern(pattern), repository),
  )
  if (pin === undefined) return ''
  const { pattern, reference } = pin
  return `. It is pinned by ${pattern}${reference === '' ? '' : ` ${reference}`}, and is not evicted`
}

/** How many evictions in a repository are searched for the one of a manifest. */
const EVICTIONS_MAX = 1000

/**
 * Describes why content is absent. A tag's history is deleted with its repository, which is removed with its last
 * content, so evictions are also looked up among the events.
 */
async function describeAbsence(
  metadata: Metadata,
  repository: RepositoryName,
  { tag, digest }: Reference,
): Promise<string> {
  const unknown = 'it was never pulled, or was evicted'
  const lines = tag && (await metadata.history.ofTag(repository, tag, Number.MAX_SAFE_INTEGER, 1))
  if (lines) {
    const [line] = lines
    return line?.act === 'cache.evict' ? `it was evicted ${at(line.at)}` : unknown
  }
  const filter = { repository, type: 'cache.evict' } as const
  const evictions = await metadata.outbox.list(filter, Number.MAX_SAFE_INTEGER, tag ? 1 : EVICTIONS_MAX)
  if (tag) {
    const [last] = evictions
    return last ? `the last content of its repository was evicted ${at(last.at)}` : unknown
  }
  const own = evictions.find((row) => row.digest === digest)
  return own ? `it was evicted ${at(own.at)}` : unknown
}

/** Pins: cached content that is never evicted. */
export function pinService(metadata: Metadata) {
  return {
    /** Lists the pins, or those with a pattern or a reference. */
    async list({ pattern, reference }: Partial<Pick<Pin, 'pattern' | 'reference'>> = {}) {
      const pins = await metadata.pins.list()
      return pins.filter(
        (pin) =>
          (pattern === undefined || pin.pattern === pattern) &&
          (reference === undefined || pin.reference === reference),
      )
    },

    /** Pins what a pattern and a reference name; without a reference, everything in the repositories. */
    async add(act: Write, pattern: string, reference = '') {
      return await metadata.write('addPin', { ...act, ...parsePin(pattern, reference) })
    },

    /** Throws NOT_FOUND. */
    async remove(act: Write, pattern: string, reference = ''): Promise<void> {
      await metadata.write('removePin', { ...act, ...parsePin(pattern, reference) })
    },
  }
}

function parsePin(pattern: string, reference: string) {
  const named = reference === '' ? '' : formatReference(parseReference(reference))
  return { pattern: parseRepositoryPattern(pattern).text, reference: named }
}
