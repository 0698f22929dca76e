import { causeOf, type Db } from '../database.ts'
import { keepCopy } from './migration-copy.ts'
import { migrations } from './migrations.ts'

interface Migrator {
  dialect: { migrate(list: unknown, session: unknown, config: { migrationsTable: string }): void }
  session: unknown
}

const TABLE = '__drizzle_migrations'

/** The codes of errors after which the database must not be used. */
const DAMAGED = /^SQLITE_(IOERR(?!_GETTEMPPATH)|CORRUPT|NOTADB)/

/** The value of `PRAGMA auto_vacuum` with which free pages are released step by step. */
const INCREMENTAL = 2

/**
 * Migrates the database to this executable's schema. One with content is copied first, to `<path>.before-<n>`, where
 * n is the number of its migrations.
 *
 * @throws Error when a newer executable created it, or the disk is full. The database is unchanged then.
 */
export function migrate(db: Db, path: string): void {
  const applied = appliedMigrations(db)
  if (applied > migrations.length) {
    throw new Error(
      `the database ${path} was made by a newer cay (schema ${applied}, this one knows ${migrations.length}): ` +
        'run that version, or restore the copy that it made before',
    )
  }
  if (applied < migrations.length) apply(db, path, applied)
  letShrink(db)
}

function apply(db: Db, path: string, applied: number): void {
  if (applied > 0) keepCopy(db.$client, path, applied)
  const { dialect, session } = db as unknown as Migrator
  try {
    dialect.migrate(migrations, session, { migrationsTable: TABLE })
  } catch (error) {
    throw new Error(
      `cannot bring the database ${path} from schema ${applied} to ${migrations.length}: ${causeOf(error)}; ` +
        'it is unchanged: if the disk is full, free some space and start again',
    )
  }
}

/**
 * Makes a database of an earlier version release its free pages from now on. If that fails, for example because there
 * is no space or no folder for the temporary copy, the database is unchanged, and the next start tries again.
 *
 * @throws Error when the disk or the database is damaged
 */
function letShrink({ $client }: Db): void {
  const [mode] = $client.query('PRAGMA auto_vacuum').values()[0] ?? []
  if (mode === INCREMENTAL) return
  try {
    $client.run('VACUUM')
    // The log contains the whole database now.
    $client.run('PRAGMA wal_checkpoint(TRUNCATE)')
  } catch (error) {
    if (DAMAGED.test((error as { code?: string }).code ?? '')) throw error
  }
}

/** Returns how many migrations a database has; 0 for an empty one. */
export function appliedMigrations({ $client }: Pick<Db, '$client'>): number {
  const table = $client.query('select 1 from sqlite_master where name = ?').get(TABLE)
  if (table === null) return 0
  const row = $client.query<{ n: number }, []>(`select count(*) as n from "${TABLE}"`).get()
  return row?.n ?? 0
}
