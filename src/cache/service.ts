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
import type { Pin } from './eviction.ts'
import type { Upstream } from './upstream/upstream.ts'

declare module '../http/controller.ts' {
  interface ApiServices {
    cache: ReturnType<typeof cacheService>
    pins: ReturnType<typeof pinService>
  }
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
  const noteAct = ({ caller, at }: Write, action: 'cache.refresh' | 'cache.evict', target: string) =>
    metadata.write('noteAct', { caller, at, action, target })
  const totals = () => totalsOf(cache, metadata)
  return {
    totals,

    show: () => show(cache, metadata),

    /** Cached tags, by their repositories. */
    tags(query: PageQuery) {
      const after = parseTagCursor(query.cursor)
      return readPage(
        query,
        async (limit) =>
          (await metadata.cache.tags(after, limit)).map((row) => ({
            ...row,
            fresh: cache.isFresh(row.repository, row.tag),
          })),
        ({ repositoryId, tag }) => `${repositoryId}/${tag}`,
      )
    },

    /** The blobs that are being fetched. */
    downloads: () =>
      cache.listFills().map(({ order: { digest, repository, size }, received }) => {
        return { digest, repository, bytes: size, receivedBytes: received }
      }),

    /** Checks a tag now, and follows it. Throws what a pull would. */
    async refresh(act: Write, repository: RepositoryName, tag: Tag): Promise<{ digest: string }> {
      cachedUpstream(repository)
      const digest = await cache.manifests.refresh(repository, tag)
      await noteAct(act, 'cache.refresh', nameOf(repository, { tag }))
      return { digest }
    },

    /** Evicts one manifest with its tags, or a tag. */
    async evict(act: Write, repository: RepositoryName, reference: Reference): Promise<void> {
      cachedUpstream(repository)
      await cache.manifests.evict(act, repository, reference)
      await noteAct(act, 'cache.evict', nameOf(repository, reference))
    },

    explain: (repository: RepositoryName, reference: Reference): Promise<CacheExplanation> =>
      explain({ cache, metadata, now }, cachedUpstream(repository), repository, reference),
  }
}

/** Returns what is known at once. Sizes are in bytes. Interrupted downloads count. */
function totalsOf(cache: ProxyCache, metadata: Metadata) {
  const { partialBytes } = cache
  const { bytes, manifestBytes, blobs } = metadata.cache.totals()
  return { bytes: bytes + partialBytes, manifestBytes, partialBytes, blobs, fills: cache.listFills().length }
}

/** Returns how much the cache holds, its limits, and how much it has been used since the server started. */
async function show(cache: ProxyCache, metadata: Metadata) {
  const { blobs, fills, ...sizes } = totalsOf(cache, metadata)
  const manifestCount = await metadata.cache.countManifests()
  const { requests, hits, hitBytes, downloadedBytes } = cache.counts.totals()
  return {
    ...sizes,
    bytesMax: cache.bytesMax === 0 ? undefined : cache.bytesMax,
    blobCount: blobs,
    manifestCount,
    downloadCount: fills,
    requestCount: requests,
    hitCount: hits,
    hitBytes,
    downloadedBytes,
  }
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

const isoTime = (time: number) => new Date(time).toISOString()

/** Explains why a tag or manifest is here, stale or gone, and what the next pull does. */
async function explain(
  { cache, metadata, now }: { cache: ProxyCache; metadata: Metadata; now: () => number },
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
    explanation: `${what} is cached, and ${upstream.name} last confirmed it at ${isoTime(checkedAt)}${why}. ${next}${pinned}`,
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
  const limits = upstream.limits(kind).map(({ host, leftMs }) => {
    return `. ${host} limits requests (429), and is not asked before ${isoTime(time + leftMs)}`
  })
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
  const [line] = lines ?? []
  if (lines) return line?.act === 'cache.evict' ? `it was evicted at ${isoTime(line.at)}` : unknown
  const filter = { repository, type: 'cache.evict' } as const
  const evictions = await metadata.outbox.list(filter, Number.MAX_SAFE_INTEGER, tag ? 1 : EVICTIONS_MAX)
  const [last] = evictions
  if (tag) return last ? `the last content of its repository was evicted at ${isoTime(last.at)}` : unknown
  const own = evictions.find((row) => row.digest === digest)
  return own ? `it was evicted at ${isoTime(own.at)}` : unknown
}

/** Pins: cached content that is never evicted. */
export function pinService(metadata: Metadata) {
  return {
    /** Lists the pins, or those with a pattern or a reference. */
    async list({ pattern, reference }: Partial<Pin>) {
      const pins = await metadata.pins.list()
      return pins.filter(
        (pin) =>
          (pattern === undefined || pin.pattern === pattern) &&
          (reference === undefined || pin.reference === reference),
      )
    },

    /** Pins what a pattern and a reference name; without a reference, everything in the repositories. */
    add: (act: Write, pattern: string, reference = '') =>
      metadata.write('addPin', { ...act, ...parsePin(pattern, reference) }),

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
