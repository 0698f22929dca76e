import { CommandError, EXIT, type ExitCode } from './failure.ts'

/** Speaks to the admin API, wherever it is: see `openClient`. */
export interface AdminClient {
  /** Answers the response when it is a success. Throws a CommandError with the server's message when it refuses. */
  send(method: string, path: string, body?: unknown, options?: RequestOptions): Promise<Response>
  /** The same, for what answers JSON. */
  request<T>(method: string, path: string, body?: unknown, options?: RequestOptions): Promise<T>
  /** Whom is asked takes it for the owner of the data folder, who may do everything. */
  isOwner: boolean
  /** No server runs: the API is that of this process, and ends with it. */
  isAlone: boolean
  close(): Promise<void>
}

export type RequestOptions = Pick<RequestInit, 'headers' | 'signal'>

export interface Transport {
  /** Sends to a path of the server. Throws a CommandError when it cannot be reached. */
  fetch(path: string, init: RequestInit): Promise<Response>
  /** What to do when the server asks for another credential. */
  signInHint?: string
  isAlone?: boolean
  isOwner?: boolean
  close(): Promise<void>
}

/** A page of a list; `next` is there when more follow. */
export interface Page {
  items: unknown[]
  next?: string
}

/** The path below /api/v1 of these parts; slashes inside a part stay a part of it. */
export function apiPath(...parts: string[]): string {
  return parts.map((part) => `/${encodeURIComponent(part)}`).join('')
}

/** The same path, with what is asked for; what is undefined is left out. */
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
      throw new CommandError('it has changed in the meantime; nothing was changed')
    throw await refusal(response, transport.signInHint)
  }
  return {
    send,
    async request<T>(...asked: Parameters<AdminClient['send']>) {
      const response = await send(...asked)
      try {
        return (await response.json()) as T
      } catch (cause) {
        throw new CommandError('the answer is no JSON: is this the address of a cay?', EXIT.failed, { cause })
      }
    },
    isAlone: transport.isAlone === true,
    isOwner: transport.isOwner === true,
    close: () => transport.close(),
  }
}

/** Pages of a list, each asked for when the one before has been used; at most so many items together. */
export async function* pagesOf(
  client: AdminClient,
  list: string,
  options: PageOptions = {},
): AsyncGenerator<Page> {
  let left = options.limit ?? Number.POSITIVE_INFINITY
  let last = options.last
  do {
    const limit = Math.min(left, PAGE_MAX)
    const page = await client.request<Page>('GET', withQuery(list, { last, limit }))
    yield page.items.length > left ? { ...page, items: page.items.slice(0, left) } : page
    left -= page.items.length
    last = page.next
  } while (last !== undefined && left > 0)
}

export interface PageOptions {
  /** Items, all pages together. */
  limit?: number | undefined
  /** The cursor to begin behind: `next` of the page before. */
  last?: string | undefined
}

/** Entries asked for at once. */
const PAGE_MAX = 500

/** The condition of what adds: a PUT would change what is there already. */
export const ONLY_NEW: RequestOptions = { headers: { 'if-none-match': '*' } }

/** What a refusal says: a problem (RFC 9457). */
interface Refusal {
  detail?: string
}

async function refusal(response: Response, signInHint: string | undefined): Promise<CommandError> {
  const { status } = response
  if (status >= 300 && status < 400) {
    return new CommandError(
      `the server sends elsewhere, to ${response.headers.get('location')}: name that one`,
    )
  }
  const text = await response.text()
  const said = parse(text).detail ?? `the server answered ${status}`
  if (status === 401 && signInHint !== undefined)
    return new CommandError(`${said}; ${signInHint}`, EXIT.denied)
  return new CommandError(said, exitOf(status))
}

function parse(text: string): Refusal {
  try {
    return (JSON.parse(text) as Refusal | null) ?? {}
  } catch {
    return {}
  }
}

function exitOf(status: number): ExitCode {
  if (status === 401 || status === 403) return EXIT.denied
  return status === 404 ? EXIT.absent : EXIT.failed
}
