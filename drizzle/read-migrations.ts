import { readMigrationFiles } from 'drizzle-orm/migrator'

/** Reads the migrations of this folder, oldest first. */
export function readMigrations() {
  return readMigrationFiles({ migrationsFolder: import.meta.dir })
}
