import { LRUCache } from 'lru-cache'
import type { Metadata } from '../database/metadata.ts'
import { readParts } from '../oci/manifest.ts'
import { type Digest, type RepositoryName, referrersTag, type Tag, tryParseTag } from '../oci/reference.ts'
import type { Listing, Manifests, ReferrerDescriptor, Referrers, Tags } from '../registry/registry.ts'
import { inTime, unlessUnknown } from './flights.ts'
import { refusalOf, STALE_REASONS, UpstreamError } from './upstream/answer.ts'
import type { Upstream, UpstreamSet } from './upstream/upstream.ts'

interface CachedListsOptions {
  tags: Tags
  referrers: Referrers
  /** The manifests, including those of upstreams, for referrers tags. */
  manifests: Pick<Manifests, 'get'>
  metadata: Metadata
  upstreams: UpstreamSet
  monotonic: () => number
  freshMs: number
  /** How long an upstream may take for a list, if something is cached that can be listed instead. */
  deadlineMs: number
  /** How long it may take otherwise. */
  firstByteMs: number
}

/** Lists tags and referrers: the upstream's while it responds, otherwise what is cached. */
export function cachedLists(options: CachedListsOptions) {
  const pages = new ListPages(options)
  return {
    tags: cachedTags(options, pages),
    referrers: cachedReferrers(options, pages),
    /** Drops the cached responses of upstreams. */
    forgetAnswers: () => pages.forget(),
  }
}

/** How many tags are requested per page of an upstream. */
const PAGE_MAX = 1000

function cachedTags(
  { tags, upstreams, deadlineMs, firstByteMs }: CachedListsOptions,
  pages: ListPages,
): Tags {
  return {
    async list(repository, page) {
      const upstream = upstreams.of(repository)
      if (upstream === undefined) return await tags.list(repository, page)
      const { last, limit } = page
      const isHere = (await unlessUnknown(tags.list(repository, { last: '', limit: 0 }))) !== undefined
      const clientWaitMs = isHere ? deadlineMs : firstByteMs
      const query = new URLSearchParams({ n: String(Math.min(Math.max(limit, 1), PAGE_MAX)) })
      if (last !== '') query.set('last', last)
      const listing = pages.list<Tag>({
        upstream,
        repository,
        list: 'tags',
        last,
        limit,
        query: query.toString(),
        clientWaitMs,
        read: async (from) => {
          const { bytes, nextQuery } = await upstream.getList(repository, `tags/list?${from}`, clientWaitMs)
          return { entries: parseTags(bytes, upstream), nextQuery, bytes: bytes.length }
        },
        nameOf: (tag) => tag,
        skip: tagsAfter,
      })
      return await orCached(listing, upstream, `the list of tags of ${repository}`, () =>
        unlessUnknown(tags.list(repository, page)),
      )
    },
  }
}

/**
 * Returns the tags after the last one, because some registries return all tags, whatever the requested page. Tags that
 * are not in byte order are all kept if the last one is not among them.
 */
function tagsAfter(tags: Tag[], last: string): Tag[] {
  const index = (tags as string[]).indexOf(last)
  if (index >= 0) return tags.slice(index + 1)
  const isOrdered = tags.every((tag, at) => at === 0 || (tags[at - 1] ?? '') < tag)
  return isOrdered ? tags.filter((tag) => tag > last) : tags
}

/**
 * Returns the tags of a response, where null is a common form of none. Throws an UpstreamError if it is not a list of
 * tags.
 */
function parseTags(bytes: Uint8Array, { name }: Upstream): Tag[] {
  try {
    const { tags } = Object(JSON.parse(new TextDecoder().decode(bytes))) as { tags?: unknown }
    if (Array.isArray(tags)) return tags.flatMap((one) => tryParseTag(String(one)) ?? [])
    if (tags === null) return []
  } catch {
    // Errors below use this, too.
  }
  throw new UpstreamError('wrong', `${name} sends something else than a list of tags`)
}

/** How much of an upstream's list is read for one response. The link to the next page continues after it. */
const READ_MAX = { pages: 20, bytes: 4 * 1024 * 1024 }

/** The share of the client's time in which pages are read. Then it gets those that have been read. */
const READ_TIME_SHARE = 0.75

/** How many referrers a response has. */
const REFERRERS_PAGE_MAX = 1000

function cachedReferrers(options: CachedListsOptions, pages: ListPages): Referrers {
  const { referrers, metadata, upstreams, deadlineMs, firstByteMs } = options
  return {
    async list(repository, subject, query) {
      const upstream = upstreams.of(repository)
      if (upstream === undefined) return await referrers.list(repository, subject, query)
      const { artifactType, last } = query
      const isHere = metadata.manifests.findByDigest(repository, subject) !== undefined
      const clientWaitMs = isHere ? deadlineMs : firstByteMs
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
  options: CachedListsOptions,
  read: ReferrersRead,
): Promise<UpstreamPage<ReferrerDescriptor>> {
  try {
    return await readPages(options, read)
  } catch (error) {
    const { kind } = Object(error) as UpstreamError
    if (read.from !== '' || (kind !== 'absent' && kind !== 'unsupported')) throw error
  }
  const tag = referrersTag(read.subject)
  const found = await unlessUnknown(options.manifests.get(read.repository, { tag }))
  if (found === undefined) return { entries: [], nextQuery: undefined, bytes: 0 }
  const { bytes, warning } = found
  return { entries: descriptorsOf(bytes), nextQuery: undefined, bytes: bytes.length, warning }
}

/** Reads pages within the limits. If a later page fails, the client's next request continues with it. */
async function readPages(
  { monotonic }: CachedListsOptions,
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

/**
 * Returns the upstream's list, or else what is cached, with a warning. If nothing is, or the settings of the upstream
 * forbid it, throws the upstream's error.
 *
 * @param what the list, in words for people
 * @param cached returns undefined if nothing is cached
 */
async function orCached<T>(
  listing: Promise<Listing<T>>,
  upstream: Upstream,
  what: string,
  cached: () => Promise<Listing<T> | undefined>,
): Promise<Listing<T>> {
  try {
    return await listing
  } catch (error) {
    const { gone, refused, offline } = upstream.settings
    const kind = error instanceof UpstreamError ? error.kind : 'unavailable'
    const isForbidden = (kind === 'absent' && gone === 'drop') || (kind === 'denied' && refused === 'refuse')
    const found = isForbidden ? undefined : await cached()
    if (found === undefined) throw refusalOf(error, what, 'NAME_UNKNOWN')
    const reason = offline ? 'is set to offline' : STALE_REASONS[kind]
    return { ...found, warning: `${what} shows only what is cached: ${upstream.name} ${reason}` }
  }
}

/** How many pages are cached. */
const PAGES_MAX = 1000

/** The total size of the cached pages in bytes: what upstreams sent, and what clients requested. */
const PAGES_BYTES_MAX = 16 * 1024 * 1024

/** How many places in lists are remembered with the upstream's page that continues there, and their characters in all. */
const CURSORS_MAX = { places: 1000, characters: 1024 * 1024 }

/** How many pages in a row may bring nothing new. */
const EMPTY_PAGES_MAX = 5

/** A page of an upstream's list. */
interface UpstreamPage<T> {
  entries: T[]
  /** The query of the upstream's next page. */
  nextQuery: string | undefined
  /** How many bytes the upstream sent for it. */
  bytes: number
  /** A warning for the client: that the page may be out of date. */
  warning?: string | undefined
}

/** What a client asks for. */
interface ListRequest<T> {
  upstream: Upstream
  repository: RepositoryName
  /** Identifies the list in the repository. */
  list: string
  last: string
  limit: number
  /** The query of the upstream's page if no cursor is known. */
  query: string
  /** How long the client waits. */
  clientWaitMs: number
  /** Reads a page of the upstream. */
  read(query: string): Promise<UpstreamPage<T>>
  /** Returns the name of an entry, which is the cursor after it. */
  nameOf(entry: T): string
  /** Returns the entries after `last` in a page of an upstream that may have ignored it. */
  skip(entries: T[], last: string): T[]
  /** Selects entries. The name identifies the filter. */
  filter?: { name: string; admits(entry: T): boolean }
}

/** A page that is cached or being read. */
type Entry = { until: number; page: Promise<UpstreamPage<unknown>> }

/**
 * Divides the lists of upstreams into the pages that clients request. Upstreams may have smaller or larger pages than
 * requested, and cursors of their own, so the upstream's page that continues after an entry is remembered.
 */
class ListPages {
  private readonly options: CachedListsOptions
  private readonly pages = new LRUCache<string, Entry>({ max: PAGES_MAX, maxSize: PAGES_BYTES_MAX })
  /** The query of the upstream's page that continues at a place: it begins there, or contains it. */
  private readonly cursors = new LRUCache<string, string>({
    max: CURSORS_MAX.places,
    maxSize: CURSORS_MAX.characters,
    sizeCalculation: (query, place) => query.length + place.length,
  })

  constructor(options: CachedListsOptions) {
    this.options = options
  }

  /** Drops all pages and cursors. */
  forget(): void {
    this.pages.clear()
    this.cursors.clear()
  }

  /** Returns at most `limit` entries after `last`. Throws an UpstreamError. */
  async list<T>(request: ListRequest<T>): Promise<Listing<T>> {
    const { repository, list, last, limit, nameOf, skip, filter } = request
    const place = (name: string) => `${repository} ${list} ${filter?.name ?? ''} ${limit} ${name}`
    const cursor = this.cursors.get(place(last))
    let query = cursor ?? request.query
    for (let pages = 1; ; pages++) {
      const page = await this.pageOf(request, query).catch((error: unknown) => {
        // A cursor may have expired.
        this.cursors.delete(place(last))
        throw error
      })
      const { nextQuery, warning } = page
      const isLeading = nextQuery !== undefined && nextQuery !== query
      const after =
        cursor === undefined && pages === 1 ? skip(page.entries, last) : from(page.entries, last, nameOf)
      if (after.length === 0 && isLeading && pages < EMPTY_PAGES_MAX) {
        query = nextQuery
        continue
      }
      const items = filter === undefined ? after : after.filter((entry) => filter.admits(entry))
      const isCut = items.length > limit
      const shown = items.slice(0, limit)
      const end = (isCut ? shown : after).at(-1)
      const nextPage = isCut ? query : nextQuery
      if (end === undefined || nextPage === undefined) return { items: shown, more: false, warning }
      const next = nameOf(end)
      this.cursors.set(place(next), nextPage)
      return { items: shown, more: true, next, warning }
    }
  }

  /** Returns a page. Concurrent callers share one request. */
  private async pageOf<T>(request: ListRequest<T>, query: string): Promise<UpstreamPage<T>> {
    const { upstream, repository, list, clientWaitMs, read } = request
    const { monotonic, freshMs } = this.options
    const { freshSeconds } = upstream.settings
    const key = `${repository} ${list} ${query}`
    const now = monotonic()
    let known = this.pages.get(key)
    if (known === undefined || known.until <= now) {
      const page = read(query)
      known = { page, until: now + (freshSeconds === undefined ? freshMs : freshSeconds * 1000) }
      this.pages.set(key, known, { size: key.length })
      void this.settle(key, known)
    }
    return (await inTime(known.page, clientWaitMs, upstream)) as UpstreamPage<T>
  }

  /** Counts the size of a page that has been read, or drops it if that failed. Never rejects. */
  private async settle(key: string, entry: Entry): Promise<void> {
    try {
      const { bytes } = await entry.page
      // The size of an entry changes only with its value.
      if (this.pages.peek(key) === entry) this.pages.set(key, { ...entry }, { size: key.length + bytes })
    } catch {
      if (this.pages.peek(key) === entry) this.pages.delete(key)
    }
  }
}

/** Returns the entries after one, or all of them if it is not among them. */
function from<T>(entries: T[], last: string, nameOf: (entry: T) => string): T[] {
  return entries.slice(entries.findIndex((entry) => nameOf(entry) === last) + 1)
}
