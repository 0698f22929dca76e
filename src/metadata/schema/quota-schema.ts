import { sql } from 'drizzle-orm'
import { integer, primaryKey, sqliteTable, text } from 'drizzle-orm/sqlite-core'

/* The tables of quotas. Triggers keep the sums while there is a quota: see `quota/usage.ts`. */

/** The quotas that were set with the API. Configured ones have no row. */
export const quota = sqliteTable('quota', {
  namespace: text('namespace').primaryKey(),
  bytesMax: integer('bytes_max'),
  repositoriesMax: integer('repositories_max'),
  tagsMax: integer('tags_max'),
  /** Changes with the row: see `versions.ts`. */
  version: integer('version').notNull(),
})

const sum = (name: string) => integer(name).notNull().default(sql`0`)

/** What the repositories of a namespace hold, except those of upstreams. The row `**` is the total, without blobs. */
export const namespaceUsage = sqliteTable('namespace_usage', {
  namespace: text('namespace').primaryKey(),
  blobBytes: sum('blob_bytes'),
  manifestBytes: sum('manifest_bytes'),
  repositories: sum('repositories'),
  tags: sum('tags'),
})

/** How many repositories of a namespace link a blob. The table is WITHOUT ROWID, which Drizzle cannot express. */
export const namespaceBlob = sqliteTable(
  'namespace_blob',
  {
    namespace: text('namespace').notNull(),
    blobId: integer('blob_id').notNull(),
    links: integer('links').notNull(),
  },
  (t) => [primaryKey({ columns: [t.namespace, t.blobId] })],
)
