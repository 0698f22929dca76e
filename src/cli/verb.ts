import type { Card, Line, Result } from './answer.ts'
import { type AdminClient, ONLY_NEW, type Page, pagesOf, type RequestOptions, withQuery } from './client.ts'
import type { Field, Terminal } from './output.ts'

/** One command: an operation of the admin API. */
export interface Verb {
  /** The arguments, such as `<repository> [tag]`. Their names decide how they are completed: see `names.ts`. */
  usage?: string
  /** The arguments as help shows them, if several words can be written as one: `REPOSITORY:TAG`. */
  shown?: string
  summary: string
  options?: readonly Option[]
  /** The command prints a list, which --limit can shorten. */
  isList?: boolean
  /** The command asks for confirmation, unless --yes is given. */
  isDestructive?: boolean
  run(call: Call): Result | Promise<Result>
}

/** `choices` are the only values that the option accepts. */
export type Option = readonly [flags: string, description: string, choices?: readonly string[]]

export interface Noun {
  summary: string
  verbs: Readonly<Record<string, Verb>>
  /** The verb to run if none is given. */
  byDefault?: string
}

/** What a verb was called with. */
export interface Call {
  client: AdminClient
  args: readonly string[]
  /** Values by name, as text; of a flag 'true'. */
  options: Readonly<Record<string, string>>
  terminal: Terminal
  /** Asks for confirmation: `what` completes "This ...". Throws a CommandError unless the user confirms. */
  confirm(what: string): Promise<void>
}

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
export function lists(
  summary: string,
  list: string | ((call: Call) => string),
  none: string | ((call: Call) => string),
  columns: readonly Field[],
  more: Pick<Verb, 'usage' | 'shown' | 'options'> = {},
): Verb {
  const textOf = (text: typeof list, call: Call) => (typeof text === 'string' ? text : text(call))
  const run: Verb['run'] = (call) => ({ list: textOf(list, call), columns, none: textOf(none, call) })
  return { ...more, summary, isList: true, run }
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

/** Returns the verb that deletes the resource that its argument names, unless it changes while the user confirms. */
export function deletes(
  usage: string,
  summary: string,
  pathOf: (name: string) => string,
  words: (name: string) => { confirm: string; done: string },
): Verb {
  const run: Verb['run'] = async ({ client, args: [name = ''], confirm }) => {
    const { ifSame } = await readToDestroy(client, pathOf(name))
    await confirm(words(name).confirm)
    return change(client, words(name).done, 'DELETE', pathOf(name), undefined, ifSame)
  }
  return { usage, summary, isDestructive: true, run }
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
