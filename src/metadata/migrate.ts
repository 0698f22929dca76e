import { existsSync } from 'node:fs'
import { sql } from 'drizzle-orm'
import type { Db } from './database.ts'
import { migrations } from './migrations.ts'

interface Migrator {
  dialect: { migrate(list: unknown, session: unknown, config: { migrationsTable: string }): void }
  session: unknown
}

const TABLE = '__drizzle_migrations'

/**
 * Brings the database to this executable's schema. One that has content is copied first, to
 * `<path>.before-<n>`, where n is the number of migrations that it had. Throws when a newer executable made it.
 */
export function migrate(db: Db, path: string, now: number): void {
  const applied = appliedMigrations(db)
  if (applied > migrations.length) {
    throw new Error(
      `the database ${path} was made by a newer cay (schema ${applied}, this one knows ${migrations.length}): ` +
        'run that version, or restore the copy that it made before',
    )
  }
  if (applied === migrations.length) return
  if (applied > 0) snapshot(db, `${path}.before-${applied}`, now)
  const { dialect, session } = db as unknown as Migrator
  dialect.migrate(migrations, session, { migrationsTable: TABLE })
}

function appliedMigrations({ $client }: Db): number {
  const table = $client.query('select 1 from sqlite_master where name = ?').get(TABLE)
  if (table === null) return 0
  const row = $client.query<{ n: number }, []>(`select count(*) as n from "${TABLE}"`).get()
  return row?.n ?? 0
}

/** An older copy of the same schema is kept under another name, not overwritten. */
function snapshot(db: Db, path: string, now: number): void {
  const target = existsSync(path) ? `${path}-${now}` : path
  db.run(sql`VACUUM INTO ${target}`)
}
