import { registryError } from '../oci/error.ts'

/** Entries of one page, unless the caller says how many. */
export const PAGE_DEFAULT = 50

/** The page of a list that is asked for. */
export interface PageQuery {
  /** `next` of the page before; empty or undefined for the first page. */
  last?: string | undefined
  limit?: number | undefined
}

/** A page of a list. */
export interface ListPage<T> {
  items: T[]
  /** The cursor of the next page, when there are more entries. */
  next?: string
}

/** Reads one page. `read` is asked for one entry more than the page has, to know whether the list goes on. */
export async function readPage<T>(
  { limit = PAGE_DEFAULT }: PageQuery,
  read: (limit: number) => T[] | Promise<T[]>,
  cursorOf: (entry: T) => string,
): Promise<ListPage<T>> {
  const found = await read(limit + 1)
  const items = found.slice(0, limit)
  const end = items.at(-1)
  return found.length > limit && end !== undefined ? { items, next: cursorOf(end) } : { items }
}

/** Entries of a list that are made before other requests have their turn. */
const SLICE = 25

/** Makes each entry of a list in turn, in slices between which other requests go on. */
export async function mapInSlices<T, U>(rows: readonly T[], make: (row: T) => U | Promise<U>): Promise<U[]> {
  const made: U[] = []
  for (const row of rows) {
    if (made.length % SLICE === 0) await new Promise((resolve) => setImmediate(resolve))
    made.push(await make(row))
  }
  return made
}

/** Makes a page of a part of a list, which says itself where the list goes on. */
export async function pageOfPart<T, K, U>(
  { rows, next }: { rows: T[]; next: K | undefined },
  toItems: (rows: T[]) => U[] | Promise<U[]>,
  cursorOf: (key: K) => string,
): Promise<ListPage<U>> {
  const items = await toItems(rows)
  return next === undefined ? { items } : { items, next: cursorOf(next) }
}

/** Formats the numbers that name a place in a list. */
export function formatCursor(...numbers: number[]): string {
  return numbers.join('.')
}

/** Parses a cursor; without one, answers the numbers of the beginning. Throws REQUEST_INVALID. */
export function parseCursor(text: string | undefined, ...beginning: number[]): number[] {
  if (text === undefined || text === '') return beginning
  const numbers = text.split('.').map((one) => (/^\d{1,16}$/.test(one) ? Number(one) : Number.NaN))
  if (numbers.length === beginning.length && numbers.every(Number.isSafeInteger)) return numbers
  throw registryError('REQUEST_INVALID', 'query last: is not the `next` of a page of this list')
}
