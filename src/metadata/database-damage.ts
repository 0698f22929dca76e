import { Database } from 'bun:sqlite'

/** Returns what SQLite finds wrong with a database's file: at most 20 lines, none if it is intact. Reads all of it. */
export function databaseDamage(client: Database): string[] {
  try {
    return client
      .query<{ integrity_check: string }, []>('PRAGMA integrity_check(20)')
      .all()
      .map((row) => row.integrity_check)
      .filter((line) => line !== 'ok')
  } catch (error) {
    // Some damage makes the check itself fail.
    if (!/malformed|not a database/.test((error as Error).message)) throw error
    return [(error as Error).message]
  }
}

/** Does the same for a file, which other processes may be using. */
export function damageOfFile(path: string): string[] {
  using client = new Database(path, { readonly: true })
  return databaseDamage(client)
}
