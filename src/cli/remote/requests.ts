import type { Card, Line } from '../output/answer.ts'
import type { Field } from '../output/format.ts'
import type { Verb } from '../verb.ts'
import {
  type AdminClient,
  ONLY_NEW,
  type Page,
  pagesOf,
  type RequestOptions,
  withQuery,
} from './admin-client.ts'

/** Sends one change. `line` reports its success. */
export async function change(
  client: AdminClient,
  line: string,
  method: 'PUT' | 'PATCH' | 'POST' | 'DELETE',
  path: string,
  body?: unknown,
  options?: RequestOptions,
): Promise<Line> {
  return { value: await client.request(method, path, body, options), line }
}

/** Reads what is about to be deleted, with the condition (If-Match) that it has not changed by then. */
export async function readToDestroy<T>(
  client: AdminClient,
  path: string,
): Promise<{ value: T; ifSame: RequestOptions }> {
  const response = await client.send('GET', path)
  const etag = response.headers.get('etag')
  const ifSame = etag === null ? {} : { headers: { 'if-match': etag } }
  return { value: (await response.json()) as T, ifSame }
}

/** Creates a resource, and fails if it exists: a PUT without a condition would change it. */
export function create(client: AdminClient, line: string, path: string, body?: unknown): Promise<Line> {
  return change(client, line, 'PUT', path, body, ONLY_NEW)
}

/** Reads one resource, and returns the card that shows it. */
export async function card(client: AdminClient, path: string, lines: readonly Field[]): Promise<Card> {
  return { value: await client.request('GET', path), lines }
}

/** Returns the verb that prints a list of the API; `none` replaces an empty table. */
export function lists(summary: string, list: string, none: string, columns: readonly Field[]): Verb {
  return { summary, isList: true, run: () => ({ list, columns, none }) }
}

/** Returns the verb that shows one resource: the one that its argument names, if `usage` has one. */
export function shows(
  usage: string | undefined,
  summary: string,
  pathOf: (name: string) => string,
  lines: readonly Field[],
): Verb {
  const run: Verb['run'] = ({ client, args: [name = ''] }) => card(client, pathOf(name), lines)
  return { ...(usage !== undefined && { usage }), summary, run }
}

/** Counts the entries of a list: `3 tokens`, or `100 or more tokens` if they do not fit one page. */
export async function countOf(client: AdminClient, list: string, one: string): Promise<string> {
  const { items, nextCursor } = await client.request<Page>('GET', withQuery(list, { limit: COUNT_MAX }))
  return nextCursor === undefined ? plural(items.length, one) : `${items.length} or more ${one}s`
}

/** Returns all entries of a list. */
export async function allOf<T>(client: AdminClient, list: string): Promise<T[]> {
  const all: T[] = []
  for await (const { items } of pagesOf(client, list)) all.push(...(items as T[]))
  return all
}

const COUNT_MAX = 100

/** `1 tag`, `2 tags`, `2 repositories` */
export function plural(count: number, one: string): string {
  const many = one.endsWith('y') ? `${one.slice(0, -1)}ies` : `${one}s`
  return `${count.toLocaleString('en')} ${count === 1 ? one : many}`
}
