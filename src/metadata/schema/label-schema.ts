import { index, integer, primaryKey, sqliteTable, text } from 'drizzle-orm/sqlite-core'
import { manifest } from './schema.ts'

/**
 * The labels of manifests that a search finds, as `NAME=VALUE`: see `searchableLabels`. The key begins with the
 * repository, so that a search reads no labels of repositories that the caller may not see. The table is WITHOUT ROWID,
 * which Drizzle cannot express.
 */
export const manifestLabel = sqliteTable(
  'manifest_label',
  {
    repositoryId: integer('repository_id').notNull(),
    label: text('label').notNull(),
    manifestId: integer('manifest_id')
      .notNull()
      .references(() => manifest.id, { onDelete: 'cascade' }),
  },
  (t) => [
    primaryKey({ columns: [t.repositoryId, t.label, t.manifestId] }),
    index('manifest_label_of').on(t.manifestId),
  ],
)
