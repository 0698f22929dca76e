import type { Manifests, ReferrerDescriptor, Referrers } from '../../domain/registry.ts'
import type { Metadata } from '../../metadata/metadata.ts'
import type { Digest } from '../../oci/digest.ts'
import { RegistryError } from '../../oci/error.ts'
import { readParts } from '../../oci/manifest-parts.ts'
import { type RepositoryName, referrersTag } from '../../oci/reference.ts'
import type { Upstream } from '../upstream/upstream.ts'
import { UpstreamError } from '../upstream/upstream-error.ts'
import type { UpstreamSet } from '../upstream/upstream-set.ts'
import { clientWaitOf, type ListTimes, orCached } from './list-fallback.ts'
import type { ListPages, UpstreamPage } from './list-pages.ts'

/** How much of an upstream's list is read for one response. The link to the next page continues after it. */
const READ_MAX = { pages: 20, bytes: 4 * 1024 * 1024 }

/** The share of the client's time in which pages are read. Then it gets those that have been read. */
const READ_TIME_SHARE = 0.75

/** How many referrers a response has. */
const REFERRERS_PAGE_MAX = 1000

export interface CachedReferrersOptions extends ListTimes {
  referrers: Referrers
  /** The manifests, including those of upstreams, for referrers tags. */
  manifests: Pick<Manifests, 'get'>
  metadata: Metadata
  upstreams: UpstreamSet
  pages: ListPages
  monotonic: () => number
}

/** Lists referrers: the upstream's while it responds, otherwise what is cached. */
export function cachedReferrers(options: CachedReferrersOptions): Referrers {
  const { referrers, metadata, upstreams, pages } = options
  return {
    async list(repository, subject, query) {
      const upstream = upstreams.of(repository)
      if (upstream === undefined) return await referrers.list(repository, subject, query)
      const { artifactType, last } = query
      const isHere = metadata.manifests.findByDigest(repository, subject) !== undefined
      const clientWaitMs = clientWaitOf(options, isHere)
      const listing = pages.list<ReferrerDescriptor>({
        upstream,
        repository,
        list: subject,
        last: last ?? '',
        limit: REFERRERS_PAGE_MAX,
        query: '',
        clientWaitMs,
        read: (from) => readReferrers(options, { upstream, repository, subject, from, clientWaitMs }),
        nameOf: ({ digest }) => digest,
        skip: (entries) => entries.slice(entries.findIndex(({ digest }) => digest === last) + 1),
        ...(artifactType !== undefined && {
          filter: { name: artifactType, admits: (one) => one.artifactType === artifactType },
        }),
      })
      return await orCached(
        listing,
        upstream,
        `the list of referrers of ${repository}@${subject}`,
        async () => {
          const cached = await referrers.list(repository, subject, query)
          // An empty list would say that there are none, for example no signatures.
          return isHere || cached.items.length > 0 ? cached : undefined
        },
      )
    },
  }
}

/** A part of a list of referrers to read. */
interface ReferrersRead {
  upstream: Upstream
  repository: RepositoryName
  subject: Digest
  /** The query of the upstream's page to begin with; empty for the first one. */
  from: string
  clientWaitMs: number
}

/** Uses the referrers API, or the referrers tag without it (distribution-spec, "Referrers Tag Schema"). */
async function readReferrers(
  options: CachedReferrersOptions,
  read: ReferrersRead,
): Promise<UpstreamPage<ReferrerDescriptor>> {
  try {
    return await readPages(options, read)
  } catch (error) {
    const { kind } = Object(error) as UpstreamError
    if (read.from !== '' || (kind !== 'absent' && kind !== 'unsupported')) throw error
  }
  try {
    const { bytes, warning } = await options.manifests.get(read.repository, {
      tag: referrersTag(read.subject),
    })
    return { entries: descriptorsOf(bytes), nextQuery: undefined, bytes: bytes.length, warning }
  } catch (error) {
    if (!(error instanceof RegistryError) || error.status !== 404) throw error
    return { entries: [], nextQuery: undefined, bytes: 0 }
  }
}

/** Reads pages within the limits. If a later page fails, the client's next request continues with it. */
async function readPages(
  { monotonic }: CachedReferrersOptions,
  { upstream, repository, subject, from, clientWaitMs }: ReferrersRead,
): Promise<UpstreamPage<ReferrerDescriptor>> {
  const until = monotonic() + clientWaitMs * READ_TIME_SHARE
  const entries = new Map<Digest, ReferrerDescriptor>()
  let nextQuery: string | undefined = from
  let size = 0
  for (let pages = 0; nextQuery !== undefined && pages < READ_MAX.pages && size < READ_MAX.bytes; pages++) {
    const suffix = `referrers/${subject}${nextQuery === '' ? '' : `?${nextQuery}`}`
    try {
      const page = await upstream.getList(repository, suffix, until - monotonic())
      // A later request reads it again, so that no response is much larger than a page.
      if (pages > 0 && size + page.bytes.length > READ_MAX.bytes) break
      size += page.bytes.length
      for (const one of parseReferrers(page.bytes, upstream)) entries.set(one.digest, one)
      nextQuery = page.nextQuery === nextQuery ? undefined : page.nextQuery
    } catch (error) {
      if (pages === 0 || !(error instanceof UpstreamError)) throw error
      break
    }
  }
  return { entries: [...entries.values()], nextQuery, bytes: size }
}

/** Returns the entries of a response. Throws an UpstreamError if it is not an index. */
function parseReferrers(bytes: Uint8Array, { name }: Upstream): ReferrerDescriptor[] {
  const { manifests } = readParts(bytes).document
  if (Array.isArray(manifests) || manifests === null) return descriptorsOf(bytes)
  throw new UpstreamError('wrong', `${name} sends something else than a list of referrers`)
}

/** Returns the entries of an index of referrers. */
function descriptorsOf(bytes: Uint8Array): ReferrerDescriptor[] {
  return readParts(bytes).children.map(({ digest, mediaType, size, artifactType, annotations }) => ({
    mediaType,
    digest,
    size,
    ...(artifactType !== undefined && { artifactType }),
    ...(Object.keys(annotations).length > 0 && { annotations }),
  }))
}
