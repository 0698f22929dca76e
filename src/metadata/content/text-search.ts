import { type Column, type Placeholder, type SQL, sql } from 'drizzle-orm'

/** A trigram index finds no shorter text; counted as code points. */
const TRIGRAM = 3

/** A column is like the pattern of a text, whatever the case of its ASCII letters. */
export function isLike(column: Column, pattern: SQL | Placeholder): SQL {
  return sql`${column} like ${pattern} escape '\\'`
}

/** Returns the pattern of `isLike` for texts that contain this one. */
export function likePattern(text: string): string {
  return `%${text.replace(/[\\%_]/g, '\\$&')}%`
}

/** What an FTS5 index of trigrams is asked for, so that none of its syntax has a meaning; undefined for a text too short. */
export function trigramQuery(text: string): string | undefined {
  // FTS5 reads a query up to its first NUL, which no name has.
  const plain = text.replaceAll('\0', ' ')
  return [...plain].length < TRIGRAM ? undefined : `"${plain.replaceAll('"', '""')}"`
}
