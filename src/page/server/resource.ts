import { useSignalEffect } from '@preact/signals'
import { useCallback, useEffect, useRef, useState } from 'preact/hooks'
import {
  type Answer,
  ApiError,
  call,
  type Item,
  type Known,
  messageOf,
  type Options,
  revision,
  urlOf,
} from './api.ts'

/** Something that is read from the API. */
export interface Resource<T> {
  /** The last response, which stays during a refresh. */
  data: T | undefined
  error: ApiError | undefined
  isLoading: boolean
  reload: () => void
}

/** How often resources that change on their own are refreshed, in seconds. */
const LIVE_SECONDS = 5

interface ResourceOptions {
  /** Reads again every few seconds while the page is visible. */
  isLive?: boolean
}

/**
 * Reads something from the API, and reads it again when `key` or the content changes.
 * @param key names what is read; undefined reads nothing
 */
export function useResource<T>(
  key: string | undefined,
  load: (signal: AbortSignal) => Promise<T>,
  { isLive = false }: ResourceOptions = {},
): Resource<T> {
  const [state, setState] = useState<{ key?: string; data?: T; error?: ApiError }>({})
  const [count, setCount] = useState(0)
  const reload = useCallback(() => setCount((before) => before + 1), [])
  const loader = useRef(load)
  loader.current = load
  useRevision(reload)
  useEffect(() => {
    if (key === undefined) return
    const aborter = new AbortController()
    loader.current(aborter.signal).then(
      (data) => {
        if (!aborter.signal.aborted) setState({ key, data })
      },
      (error) => {
        if (!aborter.signal.aborted)
          setState((before) => ({ ...(before.key === key && before), key, error: toApiError(error) }))
      },
    )
    return () => aborter.abort()
  }, [key, count])
  useEffect(() => {
    if (!isLive) return
    const timer = setInterval(() => document.visibilityState === 'visible' && reload(), LIVE_SECONDS * 1000)
    return () => clearInterval(timer)
  }, [isLive, reload])
  const isCurrent = state.key === key
  return {
    data: isCurrent ? state.data : undefined,
    error: isCurrent ? state.error : undefined,
    isLoading: key !== undefined && !isCurrent,
    reload,
  }
}

/** Reads the answer of a route like `useResource`; with `false` nothing. */
export function useAnswer<P extends string>(
  path: Known<P, 'get'>,
  options: Options<P, 'get'> | false = {},
  resourceOptions?: ResourceOptions,
): Resource<Answer<P>> {
  const load = (signal: AbortSignal) => call<P, 'get'>('get', path, { ...options, signal })
  return useResource(options ? urlOf(path, options) : undefined, load, resourceOptions)
}

/** A list that is read page by page. */
export interface Pages<T> {
  items: T[]
  /** Whether there are more entries than `items`. */
  hasMore: boolean
  error: ApiError | undefined
  /** Whether nothing has been read yet. */
  isLoading: boolean
  /** Reads the next page, or again the one that could not be read. */
  more: () => void
}

interface Page<T> {
  items: T[]
  nextCursor?: string | undefined
}

/** Which part of a list to read. */
export interface PageRequest {
  limit: number
  cursor?: string
}

type LoadPage<T> = (page: PageRequest, signal: AbortSignal) => Promise<Page<T>>

interface PagesState<T> extends Page<T> {
  key: string | undefined
  error?: ApiError | undefined
}

/** How many entries are read at once: first, and when a long list is read again. */
const PAGE_ENTRIES = 100
const PAGE_ENTRIES_MAX = 500

/** How many entries of a long list are read again when the content has changed. */
const ENTRIES_REREAD_MAX = 5000

interface PagesOptions {
  /** How many entries the first page has, where all that are read are drawn. */
  firstEntries?: number
}

/**
 * Reads a list by its cursor, one page at a time. When the content changes, what has been read is read again, so that the
 * list stays where it was scrolled to.
 * @param key names the list; undefined reads nothing
 */
export function usePages<T>(
  key: string | undefined,
  load: LoadPage<T>,
  { firstEntries = PAGE_ENTRIES }: PagesOptions = {},
): Pages<T> {
  const [state, setState] = useState<PagesState<T>>({ key: undefined, items: [] })
  const [count, setCount] = useState(0)
  const loader = useRef(load)
  loader.current = load
  const shown = useRef(state)
  shown.current = state
  const current = useRef<AbortController>(undefined)
  const isBusy = useRef(false)
  const read = useCallback((known: PagesState<T>, entries = PAGE_ENTRIES) => {
    const aborter = current.current
    if (aborter === undefined || isBusy.current) return
    isBusy.current = true
    const end = (next: PagesState<T>) => {
      if (aborter.signal.aborted) return
      isBusy.current = false
      setState(next)
    }
    readEntries(loader.current, known, entries, aborter.signal).then(
      (page) => end({ key: known.key, ...page }),
      (error) => end({ ...known, error: toApiError(error) }),
    )
  }, [])
  useRevision(useCallback(() => setCount((before) => before + 1), []))
  useEffect(() => {
    if (key === undefined) return
    const aborter = new AbortController()
    current.current = aborter
    isBusy.current = false
    const { key: before, items } = shown.current
    const known = before === key ? Math.min(items.length, ENTRIES_REREAD_MAX) : 0
    read({ key, items: [] }, Math.max(known, firstEntries))
    return () => aborter.abort()
  }, [key, count, read, firstEntries])
  const isCurrent = state.key === key
  return {
    items: isCurrent ? state.items : [],
    hasMore: isCurrent && state.nextCursor !== undefined,
    error: isCurrent ? state.error : undefined,
    isLoading: key !== undefined && !isCurrent,
    more: useCallback(() => {
      if (isCurrent && (state.nextCursor !== undefined || state.error !== undefined)) read(state)
    }, [isCurrent, state, read]),
  }
}

/** Reads the list of a route like `usePages`; with `false` nothing. */
export function useList<P extends string>(
  path: Known<P, 'get'>,
  options: Options<P, 'get'> | false = {},
  pagesOptions?: PagesOptions,
): Pages<Item<P>> {
  const given: Options<P, 'get'> = options || {}
  const load: LoadPage<Item<P>> = async (page, signal) => {
    const query = { ...given.query, ...page }
    // The types cannot tell that the route is of a list.
    return (await call<P, 'get'>('get', path, { ...given, query, signal } as never)) as never
  }
  return usePages(options ? urlOf(path, options) : undefined, load, pagesOptions)
}

/** Reads so many more entries of a list, or all that it has. */
async function readEntries<T>(
  load: LoadPage<T>,
  known: Page<T>,
  entries: number,
  signal: AbortSignal,
): Promise<Page<T>> {
  const items = [...known.items]
  let cursor = known.nextCursor
  const end = items.length + entries
  do {
    const limit = Math.min(end - items.length, PAGE_ENTRIES_MAX)
    const page = await load({ limit, ...(cursor !== undefined && { cursor }) }, signal)
    items.push(...page.items)
    cursor = page.nextCursor
  } while (cursor !== undefined && items.length < end)
  return { items, nextCursor: cursor }
}

/** Calls a function when the content was changed, not at first. */
function useRevision(changed: () => void): void {
  const seen = useRef(revision.peek())
  useSignalEffect(() => {
    if (revision.value === seen.current) return
    seen.current = revision.value
    changed()
  })
}

function toApiError(error: unknown): ApiError {
  return error instanceof ApiError ? error : new ApiError(0, 'UNKNOWN', messageOf(error))
}
