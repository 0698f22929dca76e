import { parseLeniently, stringOf } from '../oci/image-config.ts'
import { CommandError, EXIT, type ExitCode } from './failure.ts'

/** A client of the admin API; `openClient` decides of which server. */
export interface AdminClient {
  /** Returns the response if it is a success. Throws a CommandError with the server's message otherwise. */
  send(method: string, path: string, body?: unknown, options?: RequestOptions): Promise<Response>
  /** Does the same, and parses the response as JSON. Returns undefined if the response has no content (204). */
  request<T>(method: string, path: string, body?: unknown, options?: RequestOptions): Promise<T>
  /** The server takes the client for the owner of the data folder, who can do everything. */
  isOwner: boolean
  /** No server is running: the API is served by this process, and ends with it. */
  isEmbedded: boolean
  close(): Promise<void>
}

export type RequestOptions = Pick<RequestInit, 'headers' | 'signal'>

export interface Transport {
  /** Sends a request to a path of the server. Throws a CommandError if the server cannot be reached. */
  fetch(path: string, init: RequestInit): Promise<Response>
  /** What to do if the server does not accept the credential. */
  signInHint?: string
  isEmbedded?: boolean
  isOwner?: boolean
  close(): Promise<void>
}

/** A page of a list; `nextCursor` is set if more entries follow. */
export interface Page {
  items: unknown[]
  nextCursor?: string
}

/** Returns the path below /api/v1 of these segments; slashes inside a segment are escaped. */
export function apiPath(...parts: string[]): string {
  return parts.map((part) => `/${encodeURIComponent(part)}`).join('')
}

/** Adds a query to the path; leaves out what is undefined. */
export function withQuery(path: string, query: Record<string, string | number | undefined>): string {
  const given = Object.entries(query).flatMap(([key, value]): [string, string][] =>
    value === undefined ? [] : [[key, `${value}`]],
  )
  return given.length === 0 ? path : `${path}${path.includes('?') ? '&' : '?'}${new URLSearchParams(given)}`
}

export function adminClient(transport: Transport): AdminClient {
  const send: AdminClient['send'] = async (method, path, body, options = {}) => {
    const headers = new Headers(options.headers)
    if (body !== undefined) headers.set('content-type', 'application/json')
    const init: RequestInit = { ...options, method, headers, redirect: 'manual' }
    if (body !== undefined) init.body = JSON.stringify(body)
    const response = await transport.fetch(`/api/v1${path}`, init)
    if (response.ok) return response
    if (response.status === 412 && headers.has('if-match'))
      throw new CommandError('it has changed in the meantime, so nothing was done; try again')
    throw await refusal(response, transport.signInHint)
  }
  return {
    send,
    async request<T>(...asked: Parameters<AdminClient['send']>) {
      const response = await send(...asked)
      if (response.status === 204) return undefined as T
      try {
        return (await response.json()) as T
      } catch (cause) {
        const message = 'the response is not JSON: is this the address of a cay server?'
        throw new CommandError(message, EXIT.failed, { cause })
      }
    },
    isEmbedded: transport.isEmbedded === true,
    isOwner: transport.isOwner === true,
    close: () => transport.close(),
  }
}

/** Yields the pages of a list, each fetched after the previous one was used, up to `limit` items in all. */
export async function* pagesOf(
  client: AdminClient,
  list: string,
  options: PageOptions = {},
): AsyncGenerator<Page> {
  let left = options.limit ?? Number.POSITIVE_INFINITY
  let cursor = options.cursor
  do {
    const limit = Math.min(left, PAGE_MAX)
    const page = await client.request<Page>('GET', withQuery(list, { cursor, limit }))
    yield page.items.length > left ? { ...page, items: page.items.slice(0, left) } : page
    left -= page.items.length
    cursor = page.nextCursor
  } while (cursor !== undefined && left > 0)
}

export interface PageOptions {
  /** The most items, of all pages together. */
  limit?: number | undefined
  /** `nextCursor` of the previous page. */
  cursor?: string | undefined
}

/** Entries fetched in one request. */
const PAGE_MAX = 500

/** The condition that nothing exists yet; without it a PUT changes what exists. */
export const ONLY_NEW: RequestOptions = { headers: { 'if-none-match': '*' } }

async function refusal(response: Response, signInHint: string | undefined): Promise<CommandError> {
  const { status } = response
  const location = response.headers.get('location')
  if (status >= 300 && status < 400)
    return new CommandError(`the server redirects to ${location}: use that address with --server`)
  // A problem (RFC 9457).
  const said = stringOf(parseLeniently(await response.text()).detail) ?? `the server responded with ${status}`
  if (status === 401 && signInHint !== undefined)
    return new CommandError(`${said}; ${signInHint}`, EXIT.denied)
  return new CommandError(said, exitOf(status))
}

function exitOf(status: number): ExitCode {
  if (status === 401 || status === 403) return EXIT.denied
  if (status === 400) return EXIT.usage
  return status === 404 ? EXIT.absent : EXIT.failed
}
