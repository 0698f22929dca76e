import { type Column, type Placeholder, type SQL, sql } from 'drizzle-orm'

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
