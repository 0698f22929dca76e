import { matchesPattern, parseRepositoryPattern } from '../../../domain/repository-pattern.ts'
import type { Metadata } from '../../../metadata/metadata.ts'
import { formatReference, type Reference, type RepositoryName } from '../../../oci/reference.ts'
import type { ProxyCache } from '../../../proxy/proxy-cache.ts'
import type { Upstream } from '../../../proxy/upstream/upstream.ts'

/** Why something is cached, stale or evicted. */
export interface CacheExplanation {
  state: 'fresh' | 'stale' | 'cached' | 'pushed' | 'absent'
  explanation: string
}

/** Returns a reference as people write it, such as `docker.io/library/alpine:3`. */
export function nameOf(repository: RepositoryName, reference: Reference): string {
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
export async function explain(
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
