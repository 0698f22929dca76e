import { integer, primaryKey, sqliteTable, text } from 'drizzle-orm/sqlite-core'

/* The tables of the cache's settings. Times are milliseconds since 1970. */

/** Pins of cached content. The reference is a tag, a digest, or empty for everything in the repositories. */
export const cachePin = sqliteTable(
  'cache_pin',
  {
    pattern: text('pattern').notNull(),
    reference: text('reference').notNull(),
    createdAt: integer('created_at').notNull(),
  },
  (t) => [primaryKey({ columns: [t.pattern, t.reference] })],
)

/** The upstreams that were added with the API. Configured ones have no row. */
export const upstream = sqliteTable('upstream', {
  name: text('name').primaryKey(),
  /** A JSON object, without secrets. */
  settings: text('settings').notNull(),
  /** The password, or the token if the settings have no username. */
  secret: text('secret'),
  createdAt: integer('created_at').notNull(),
  changedAt: integer('changed_at').notNull(),
  /** Changes with the row: see `versions.ts`. */
  version: integer('version').notNull(),
})
