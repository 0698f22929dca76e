import { LRUCache } from 'lru-cache'
import type {
  Listing,
  Manifests,
  Page,
  ReferrerDescriptor,
  Referrers,
  ReferrersQuery,
  Tags,
} from '../domain/registry.ts'
import type { Digest } from '../oci/digest.ts'
import { RegistryError } from '../oci/error.ts'
import { readParts } from '../oci/manifest-parts.ts'
import { type RepositoryName, referrersTag, type Tag, tryParseTag } from '../oci/reference.ts'
import { inTime } from './in-time.ts'
import { refusalOf } from './refusals.ts'
import type { Upstream } from './upstream/upstream.ts'
import { STALE_REASONS, UpstreamError } from './upstream/upstream-error.ts'
import type { UpstreamSet } from './upstream/upstream-set.ts'

/** How many pages are cached. */
const PAGES_MAX = 1000

/** The total size of the upstreams' responses behind the cached pages, in bytes. */
const PAGES_BYTES_MAX = 16 * 1024 * 1024

/** How many tags are requested per page of an upstream. */
const PAGE_MAX = 1000

/** How many of an upstream's links to a next page are remembered. */
const NEXT_QUERIES_MAX = 1000

/** The limits of an upstream's list of referrers, over all its pages. What is beyond them is left out. */
const REFERRERS_MAX = { pages: 20, bytes: 4 * 1024 * 1024 }

/** How many referrers a response has. */
const REFERRERS_PAGE_MAX = 1000

export interface CachedListsOptions {
  tags: Tags
  referrers: Referrers
  /** The manifests, including those of upstreams, for referrers tags. */
  manifests: Pick<Manifests, 'get'>
  upstreams: UpstreamSet
  monotonic: () => number
  freshMs: number
  deadlineMs: number
  /** How long a client waits for all of the upstream's list. */
  firstByteMs: number
}

/** A page, and how many bytes the upstream sent for it. */
interface Answer<T> extends Listing<T> {
  bytes: number
  /** The query of the upstream's next page. */
  nextQuery?: string | undefined
}

/** A page that is cached or being read. */
interface Entry {
  until: number
  page: Promise<Answer<unknown>>
}

/** Lists tags and referrers: the upstream's while it responds, otherwise what is cached. */
export class CachedLists {
  readonly tags: Tags
  readonly referrers: Referrers
  private readonly options: CachedListsOptions
  private readonly pages = new LRUCache<string, Entry>({
    max: PAGES_MAX,
    maxSize: PAGES_BYTES_MAX,
  })
  /** The queries of the pages that follow a tag. Some registries use cursors of their own instead of `last`. */
  private readonly nextQueries = new LRUCache<string, string>({ max: NEXT_QUERIES_MAX })

  constructor(options: CachedListsOptions) {
    this.options = options
    this.tags = { list: (repository, page) => this.listTags(repository, page) }
    this.referrers = { list: (...args) => this.listReferrers(...args) }
  }

  /** Drops the cached responses of upstreams. */
  forgetAnswers(): void {
    this.pages.clear()
    this.nextQueries.clear()
  }

  private async listTags(repository: RepositoryName, page: Page): Promise<Listing<Tag>> {
    const { tags, upstreams } = this.options
    const upstream = upstreams.of(repository)
    if (upstream === undefined || page.limit === 0) return await tags.list(repository, page)
    const place = `${repository} ${page.last}`
    const cursor = this.nextQueries.get(place)
    const suffix = `tags/list?${cursor ?? queryOf(page)}`
    try {
      const answer = await this.remember(upstream, `${repository} ${suffix} ${page.limit}`, async () => {
        const { bytes, nextQuery } = await upstream.getList(repository, suffix, this.options.deadlineMs)
        const tags = tagsOf(bytes, upstream)
        const after = cursor === undefined ? tagsAfter(tags, page.last) : tags
        const items = after.slice(0, page.limit)
        const isCut = after.length > items.length
        return {
          items,
          more: (isCut || nextQuery !== undefined) && items.length > 0,
          bytes: bytes.length,
          nextQuery: isCut ? undefined : nextQuery,
        }
      })
      const { items, more, nextQuery } = answer
      if (nextQuery !== undefined) this.nextQueries.set(`${repository} ${items.at(-1)}`, nextQuery)
      return { items, more }
    } catch (error) {
      // A cursor may have expired.
      this.nextQueries.delete(place)
      return await orElse(error, upstream, repository, () => tags.list(repository, page))
    }
  }

  private async listReferrers(
    repository: RepositoryName,
    subject: Digest,
    query: ReferrersQuery,
  ): Promise<Listing<ReferrerDescriptor>> {
    const { referrers, upstreams } = this.options
    const upstream = upstreams.of(repository)
    if (upstream === undefined) return await referrers.list(repository, subject, query)
    try {
      const all = await this.remember(upstream, `${repository} ${subject}`, async () =>
        this.fetchReferrers(upstream, repository, subject),
      )
      const { artifactType } = query
      const items = all.items.filter((one) => artifactType === undefined || one.artifactType === artifactType)
      const from = query.last === undefined ? 0 : items.findIndex(({ digest }) => digest === query.last) + 1
      const page = items.slice(from, from + REFERRERS_PAGE_MAX)
      return { items: page, more: from + page.length < items.length }
    } catch (error) {
      return await orElse(error, upstream, repository, () => referrers.list(repository, subject, query))
    }
  }

  /** Uses the referrers API, or the referrers tag without it (distribution-spec, "Referrers Tag Schema"). */
  private async fetchReferrers(
    upstream: Upstream,
    repository: RepositoryName,
    subject: Digest,
  ): Promise<Answer<ReferrerDescriptor>> {
    try {
      return await this.fetchReferrerPages(upstream, repository, subject)
    } catch (error) {
      const { kind } = Object(error) as UpstreamError
      if (kind !== 'absent' && kind !== 'unsupported') throw error
    }
    try {
      const { bytes } = await this.options.manifests.get(repository, { tag: referrersTag(subject) })
      return { items: descriptorsOf(bytes), more: false, bytes: bytes.length }
    } catch (error) {
      if (error instanceof RegistryError && error.status === 404) return { items: [], more: false, bytes: 0 }
      throw error
    }
  }

  private async fetchReferrerPages(
    upstream: Upstream,
    repository: RepositoryName,
    subject: Digest,
  ): Promise<Answer<ReferrerDescriptor>> {
    const path = `referrers/${subject}`
    const items: ReferrerDescriptor[] = []
    let size = 0
    let suffix: string | undefined = path
    for (let pages = 0; suffix !== undefined && pages < REFERRERS_MAX.pages; pages++) {
      const { bytes, nextQuery } = await upstream.getList(repository, suffix, this.options.deadlineMs)
      if (pages > 0 && size + bytes.length > REFERRERS_MAX.bytes) break
      size += bytes.length
      items.push(...descriptorsOf(bytes))
      suffix = nextQuery && `${path}?${nextQuery}`
    }
    return { items, more: false, bytes: size }
  }

  private async remember<T>(
    upstream: Upstream,
    key: string,
    read: () => Promise<Answer<T>>,
  ): Promise<Answer<T>> {
    const { monotonic, freshMs, firstByteMs } = this.options
    const now = monotonic()
    let known = this.pages.get(key)
    if (known === undefined || known.until <= now) {
      known = { page: read(), until: now + freshMs }
      this.pages.set(key, known, { size: 1 })
      void this.settle(key, known)
    }
    return (await inTime(known.page, firstByteMs, upstream)) as Answer<T>
  }

  /** Counts the size of a page that has been read, or drops it if that failed. Never rejects. */
  private async settle(key: string, entry: Entry): Promise<void> {
    try {
      const { bytes } = await entry.page
      // The size of an entry changes only with its value.
      if (this.pages.peek(key) === entry) this.pages.set(key, { ...entry }, { size: bytes + 1 })
    } catch {
      if (this.pages.peek(key) === entry) this.pages.delete(key)
    }
  }
}

function queryOf({ limit, last }: Page): string {
  const query = new URLSearchParams({ n: String(Math.min(limit, PAGE_MAX)) })
  if (last !== '') query.set('last', last)
  return query.toString()
}

/** Returns the tags after the last one. Some registries return all tags, whatever the requested page. */
function tagsAfter(tags: Tag[], last: string): Tag[] {
  if (last === '') return tags
  const index = (tags as string[]).indexOf(last)
  return index < 0 ? tags.filter((tag) => tag > last) : tags.slice(index + 1)
}

/**
 * Returns the tags of a response, where null is a common form of none. Throws an UpstreamError if it is not a list of
 * tags.
 */
function tagsOf(bytes: Uint8Array, { name }: Upstream): Tag[] {
  try {
    const { tags } = Object(JSON.parse(new TextDecoder().decode(bytes))) as { tags?: unknown }
    if (Array.isArray(tags)) return tags.flatMap((one) => tryParseTag(String(one)) ?? [])
    if (tags === null) return []
  } catch {
    // Errors below use this, too.
  }
  throw new UpstreamError('wrong', `${name} sends something else than a list of tags`)
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

/** Returns what is cached, with a warning. If nothing is, throws the upstream's error. */
async function orElse<T>(
  error: unknown,
  upstream: Upstream,
  repository: RepositoryName,
  local: () => Promise<Listing<T>>,
): Promise<Listing<T>> {
  const kind = error instanceof UpstreamError ? error.kind : 'unavailable'
  const reason = upstream.settings.offline ? 'is set to offline' : STALE_REASONS[kind]
  try {
    return { ...(await local()), warning: `${repository} is listed as cached: ${upstream.name} ${reason}` }
  } catch {
    throw refusalOf(error, `the list of ${repository}`, 'NAME_UNKNOWN')
  }
}
