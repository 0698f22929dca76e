import { index, integer, sqliteTable, text } from 'drizzle-orm/sqlite-core'

/* The tables of retention. Times are milliseconds since 1970. */

/** The policies that were set with the API. Configured ones have no row. */
export const retentionPolicy = sqliteTable('retention_policy', {
  name: text('name').primaryKey(),
  /** A JSON object. */
  settings: text('settings').notNull(),
  createdAt: integer('created_at').notNull(),
  changedAt: integer('changed_at').notNull(),
  /** Changes with the row: see `versions.ts`. */
  version: integer('version').notNull(),
})

/** When something in a repository may expire. Without a row, nothing can expire until the repository changes. */
export const retentionDue = sqliteTable(
  'retention_due',
  {
    repositoryId: integer('repository_id').primaryKey(),
    dueAt: integer('due_at').notNull(),
  },
  (t) => [index('retention_due_at').on(t.dueAt)],
)
