import { signal } from '@preact/signals'
import type { Answer, Body, Item, Known, Query } from '../../contract.ts'
import type { Method } from '../../http/operation.ts'

export type { Answer, Item, Known }

export interface Options<P extends string, M extends Method> {
  /** The values of the `:names` in the path. */
  params?: Record<string, string>
  /** What is undefined or empty is left out. */
  query?: { [K in keyof Query<P, M>]: Query<P, M>[K] | undefined }
  body?: Body<P, M>
  signal?: AbortSignal
}

/** A request that the server refused, or that did not reach it (status 0). */
export class ApiError extends Error {
  readonly status: number
  readonly code: string

  constructor(status: number, code: string, message: string) {
    super(message)
    this.status = status
    this.code = code
  }
}

/** Returns the message of an error for people. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

/** The CSRF token of the session, which every change needs. */
export const csrfToken = signal<string | undefined>(undefined)

/** Whether the last request did not reach the server. */
export const isOffline = signal(false)

/** Increases with each change, so that the page is refreshed. */
export const revision = signal(0)

/** Increases when the server no longer knows the session. */
export const expiries = signal(0)

/**
 * Sends a request to the API and returns its response.
 * @throws ApiError
 */
export async function call<P extends string, M extends Method>(
  method: M,
  path: Known<P, M>,
  options: Options<P, M> = {},
): Promise<Answer<P, M>> {
  const response = await send(method, urlOf(path, options), options)
  if (response.status === 204) return undefined as Answer<P, M>
  if (response.ok) return (await response.json()) as Answer<P, M>
  throw await problemOf(response)
}

/**
 * Changes something through the API, and then refreshes the page.
 * @throws ApiError
 */
export async function change<P extends string, M extends Exclude<Method, 'get'>>(
  method: M,
  path: Known<P, M>,
  options: Options<P, M> = {},
): Promise<Answer<P, M>> {
  const answer = await call<P, M>(method, path, options)
  revision.value++
  return answer
}

/**
 * Returns the text of a manifest as it was pushed, or of another file of this server.
 * @throws ApiError, also if it has more than `bytesMax`.
 */
export async function fetchText(url: string, signal: AbortSignal, bytesMax: number): Promise<string> {
  const response = await send('get', url, { signal })
  if (!response.ok) throw await problemOf(response)
  if (Number(response.headers.get('content-length')) <= bytesMax) return await response.text()
  await response.body?.cancel()
  throw new ApiError(0, 'TOO_LARGE', 'This is too large to show. Download it instead')
}

/**
 * Returns the body of a blob.
 * @throws ApiError
 */
export async function fetchBody(
  url: string,
  signal: AbortSignal,
): Promise<ReadableStream<Uint8Array<ArrayBuffer>>> {
  const response = await send('get', url, { signal })
  if (response.ok && response.body) return response.body
  throw await problemOf(response)
}

/** Returns the URL of a route with its parameters and query. */
export function urlOf(
  path: string,
  { params = {}, query = {} }: { params?: Record<string, string>; query?: unknown },
): string {
  const filled = path.replace(/:(\w+)/g, (_, name: string) => encodeURIComponent(params[name] ?? ''))
  const search = new URLSearchParams()
  for (const [name, value] of Object.entries(query as object)) {
    if (value !== undefined && value !== '') search.set(name, String(value))
  }
  return `/api/v1/${filled}${search.size > 0 ? `?${search}` : ''}`
}

async function send(
  method: Method,
  url: string,
  { body, signal }: { body?: unknown; signal?: AbortSignal },
): Promise<Response> {
  const headers: Record<string, string> = { accept: 'application/json' }
  if (body !== undefined) headers['content-type'] = 'application/json'
  if (method !== 'get' && csrfToken.value !== undefined) headers['x-csrf-token'] = csrfToken.value
  try {
    const response = await fetch(url, {
      method: method.toUpperCase(),
      headers,
      ...(body !== undefined && { body: JSON.stringify(body) }),
      ...(signal && { signal }),
    })
    isOffline.value = false
    return response
  } catch (error) {
    if (error instanceof DOMException && error.name === 'AbortError') throw error
    isOffline.value = true
    throw new ApiError(0, 'OFFLINE', 'The server cannot be reached')
  }
}

async function problemOf(response: Response): Promise<ApiError> {
  const problem = await response.json().catch(() => ({}))
  // A proxy in front of the server may send something other than a problem.
  const { code = 'UNKNOWN', detail = `The server answered with status ${response.status}` } = (problem ??
    {}) as { code?: string; detail?: string }
  if (response.status === 401 && csrfToken.value !== undefined) expiries.value++
  return new ApiError(response.status, code, detail)
}
