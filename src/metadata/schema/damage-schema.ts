import { blob as bytes, integer, sqliteTable, text } from 'drizzle-orm/sqlite-core'

/** Content whose damaged bytes were moved to quarantine. Pushing it again repairs it. */
export const damagedContent = sqliteTable('damaged_content', {
  digest: bytes('digest', { mode: 'buffer' }).primaryKey(),
  kind: text('kind', { enum: ['blob', 'manifest'] }).notNull(),
  size: integer('size').notNull(),
  /** Milliseconds since 1970. */
  foundAt: integer('found_at').notNull(),
})
