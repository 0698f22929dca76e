import { type Column, type Placeholder, type SQL, sql } from 'drizzle-orm'
import type { RepositorySet } from '../access/patterns.ts'
import type { RepositoryName } from '../oci/reference.ts'

/** How many rows one page examines, which takes some milliseconds. */
const LOOKED_AT_MAX = 2048

/** How many rows are read at once, at first and at most. */
const CHUNK_MIN = 64
const CHUNK_MAX = 512

/** A part of a list. */
export interface Part<T, K> {
  rows: T[]
  /** The cursor of the next part; undefined at the end. A part may be short or empty and still have a next one. */
  next: K | undefined
}

export interface Walk<T, K> {
  /** Reads at most `limit` rows after a key, in the order of the list. Fewer mean that the list ends. */
  read(after: K, limit: number): T[]
  keyOf(row: T): K
  /** Whether the caller may see a row. */
  isShown(row: T): boolean
}

/** Reads at most `limit` rows that the caller may see, and skips a bounded number of others. */
export function readPart<T, K>(walk: Walk<T, K>, after: K, limit: number): Part<T, K> {
  const rows: T[] = []
  let key = after
  let looked = 0
  for (let size = CHUNK_MIN; limit > 0; size = Math.min(CHUNK_MAX, size * 2)) {
    const chunk = walk.read(key, size)
    for (const row of chunk) {
      if (!walk.isShown(row)) continue
      const last = rows.at(-1)
      if (rows.length === limit && last !== undefined) return { rows, next: walk.keyOf(last) }
      rows.push(row)
    }
    const end = chunk.at(-1)
    if (end === undefined || chunk.length < size) break
    key = walk.keyOf(end)
    looked += chunk.length
    if (looked >= LOOKED_AT_MAX) return { rows, next: key }
  }
  return { rows, next: undefined }
}

/**
 * Reads a part of a list that is ordered by name.
 *
 * @param read reads from a name on, whether or not it exists
 * @param isFound whether a row belongs to the list
 */
export function readByName<T extends { name: RepositoryName }>(
  set: RepositorySet,
  last: string,
  limit: number,
  read: (from: string, limit: number) => T[],
  isFound: (row: T) => boolean = () => true,
): Part<T, string> {
  return readPart<T, string>(
    {
      read(after, size) {
        const from = set.seek(`${after}\0`)
        return from === undefined ? [] : read(from, size)
      },
      keyOf: ({ name }) => name,
      isShown: (row) => isFound(row) && set.has(row.name),
    },
    last,
    limit,
  )
}

/** The shortest text that a trigram index finds, in code points. */
const TRIGRAM = 3

/** Matches a column against a pattern, ignoring the case of ASCII letters. */
export function isLike(column: Column, pattern: SQL | Placeholder): SQL {
  return sql`${column} like ${pattern} escape '\\'`
}

/** Returns the pattern of `isLike` for texts that contain this one. */
export function likePattern(text: string): string {
  return `%${text.replace(/[\\%_]/g, '\\$&')}%`
}

/** Returns the text as a literal FTS5 query without special syntax; undefined if it is too short for trigrams. */
export function trigramQuery(text: string): string | undefined {
  // FTS5 reads a query up to its first NUL, which no name has.
  const plain = text.replaceAll('\0', ' ')
  return [...plain].length < TRIGRAM ? undefined : `"${plain.replaceAll('"', '""')}"`
}
