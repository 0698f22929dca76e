import { sql } from 'drizzle-orm'
import type { GarbageWindow } from '../../domain/retention/garbage-window.ts'
import type { Db } from '../database.ts'
import { repository } from '../schema/schema.ts'
import { number, statement } from '../statement.ts'

/** Iterates over the repositories that may have untagged manifests to delete. */
export function untaggedWalk(db: Db) {
  const columns = { id: repository.id, untaggedDays: repository.untaggedDays }
  const withUntagged = statement(db, { after: number }, ({ after }) =>
    db
      .select(columns)
      .from(repository)
      .where(
        sql`${repository.id} = (select m.repository_id from manifest m indexed by manifest_untagged
          where m.untagged_at is not null and m.repository_id > ${after}
          order by m.repository_id limit 1)`,
      ),
  )
  const withPolicy = statement(db, { after: number }, ({ after }) =>
    db
      .select(columns)
      .from(repository)
      .where(sql`${repository.id} > ${after} and ${repository.untaggedDays} > 0`)
      .orderBy(repository.id)
      .limit(1),
  )
  return {
    /** Returns the next repository by id. Without a server-wide setting, only those with their own setting. */
    next: (after: number, { untaggedDays }: GarbageWindow) =>
      untaggedDays === 0 ? withPolicy.get({ after }) : withUntagged.get({ after }),
  }
}
