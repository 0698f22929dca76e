import { type RegistryError, registryError } from '../oci/error.ts'
import { turn } from '../runtime/clock.ts'

/** How many entries a page has by default. */
export const PAGE_DEFAULT = 50

/** Which page of a list to return. The cursor is `next` of the previous page, empty or undefined for the first one. */
export interface PageQuery {
  cursor?: string | undefined
  limit?: number | undefined
}

/** A page of a list, with the cursor of the next page when there are more entries. */
export interface ListPage<T> {
  items: T[]
  next?: string
}

/** Reads one page. Asks `read` for one extra entry, to know whether there is a next page. */
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

/** How many entries are made before other requests get a turn. */
const SLICE = 25

/** Maps a list in slices. Other requests get a turn between slices. */
export async function mapInSlices<T, U>(rows: readonly T[], make: (row: T) => U | Promise<U>): Promise<U[]> {
  const made: U[] = []
  for (const row of rows) {
    if (made.length % SLICE === 0) await turn()
    made.push(await make(row))
  }
  return made
}

/** Returns a page of a part of a list that carries its own cursor. */
export async function pageOfPart<T, K, U>(
  { rows, next }: { rows: T[]; next: K | undefined },
  toItems: (rows: T[]) => U[] | Promise<U[]>,
  cursorOf: (key: K) => string,
): Promise<ListPage<U>> {
  const items = await toItems(rows)
  return next === undefined ? { items } : { items, next: cursorOf(next) }
}

/** Formats a position in a list as a cursor. */
export function formatCursor(...numbers: number[]): string {
  return numbers.join('.')
}

/** Parses a cursor, or returns `beginning` when there is none. Throws REQUEST_INVALID. */
export function parseCursor(text: string | undefined, ...beginning: number[]): number[] {
  if (text === undefined || text === '') return beginning
  const numbers = text.split('.').map((one) => (/^\d{1,16}$/.test(one) ? Number(one) : Number.NaN))
  if (numbers.length === beginning.length && numbers.every(Number.isSafeInteger)) return numbers
  throw invalidCursor()
}

/** Returns the error for a cursor that is not of this list. */
export function invalidCursor(): RegistryError {
  return registryError('REQUEST_INVALID', 'cursor: expected the nextCursor of a page of this list')
}
