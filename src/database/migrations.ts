import type { MigrationMeta } from 'drizzle-orm/migrator'
import { readMigrations } from '../../drizzle/read-migrations.ts' with { type: 'macro' }

/** Every migration of the database, oldest first. A macro: the build writes the files of drizzle/ into the executable. */
export const migrations: MigrationMeta[] = readMigrations()
