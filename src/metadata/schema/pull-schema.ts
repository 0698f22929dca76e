import { index, integer, sqliteTable, text, uniqueIndex } from 'drizzle-orm/sqlite-core'

/**
 * How often an account pulled a tag on a day. The repository may no longer exist. Its id is never reused, and rows
 * are deleted after 90 days.
 */
export const pull = sqliteTable(
  'pull',
  {
    id: integer('id').primaryKey(),
    repositoryId: integer('repository_id').notNull(),
    /** Empty for a pull by digest. */
    tag: text('tag').notNull(),
    /** Days since 1970, in UTC. */
    day: integer('day').notNull(),
    /** Empty for anonymous. */
    account: text('account').notNull(),
    pulls: integer('pulls').notNull(),
  },
  (t) => [
    uniqueIndex('pull_of').on(t.repositoryId, t.tag, t.day, t.account),
    index('pull_repository').on(t.repositoryId, t.day),
    index('pull_day').on(t.day, t.account),
  ],
)
