import { LRUCache } from 'lru-cache'
import type { Listing } from '../../domain/registry.ts'
import type { RepositoryName } from '../../oci/reference.ts'
import { inTime } from '../in-time.ts'
import type { Upstream } from '../upstream/upstream.ts'

/** How many pages are cached. */
const PAGES_MAX = 1000

/** The total size of the cached pages in bytes: what upstreams sent, and what clients requested. */
const PAGES_BYTES_MAX = 16 * 1024 * 1024

/** How many places in lists are remembered with the upstream's page that continues there, and their characters in all. */
const CURSORS_MAX = { places: 1000, characters: 1024 * 1024 }

/** How many pages in a row may bring nothing new. */
const EMPTY_PAGES_MAX = 5

/** A page of an upstream's list. */
export interface UpstreamPage<T> {
  entries: T[]
  /** The query of the upstream's next page. */
  nextQuery: string | undefined
  /** How many bytes the upstream sent for it. */
  bytes: number
  /** A warning for the client: that the page may be out of date. */
  warning?: string | undefined
}

/** What a client asks for. */
export interface ListRequest<T> {
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
interface Entry {
  until: number
  page: Promise<UpstreamPage<unknown>>
}

export interface ListPagesOptions {
  monotonic: () => number
  freshMs: number
}

/**
 * Divides the lists of upstreams into the pages that clients request. Upstreams may have smaller or larger pages than
 * requested, and cursors of their own, so the upstream's page that continues after an entry is remembered.
 */
export class ListPages {
  private readonly options: ListPagesOptions
  private readonly pages = new LRUCache<string, Entry>({ max: PAGES_MAX, maxSize: PAGES_BYTES_MAX })
  /** The query of the upstream's page that continues at a place: it begins there, or contains it. */
  private readonly cursors = new LRUCache<string, string>({
    max: CURSORS_MAX.places,
    maxSize: CURSORS_MAX.characters,
    sizeCalculation: (query, place) => query.length + place.length,
  })

  constructor(options: ListPagesOptions) {
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
