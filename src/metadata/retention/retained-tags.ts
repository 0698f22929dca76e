import { and, asc, eq, gt, sql } from 'drizzle-orm'
import type { RetainedTag, Retention } from '../../domain/retention.ts'
import type { Tag } from '../../oci/reference.ts'
import { isTagAt } from '../content/listed-tag.ts'
import type { Db } from '../database.ts'
import { manifest, tag } from '../schema.ts'
import { number, statement, text } from '../statement.ts'

/** Tags that are read at once: about a millisecond. */
export const TAGS_READ = 200

/** A tag as retention sees it. */
export interface RetainedRow extends Omit<RetainedTag, 'isImmutable'> {
  name: Tag
  /** As it is stored: a run needs the digests of only those tags that expire. */
  digest: Buffer
}

/** The tags of a repository as retention sees them. */
export function retainedTags(db: Db) {
  const page = statement(
    db,
    { repositoryId: number, after: text, now: number, limit: number },
    ({ repositoryId, after, now, limit }) =>
      db
        .select({
          name: tag.name,
          digest: tag.digest,
          updatedAt: tag.updatedAt,
          lastPulledAt: tag.lastPulledAt,
          // A push of what the tag already points at does not move it.
          pushedAt: sql<number>`max(tag.updated_at, manifest.pushed_at)`,
        })
        .from(tag)
        .innerJoin(manifest, eq(manifest.id, tag.manifestId))
        .where(and(eq(tag.repositoryId, repositoryId), gt(tag.name, after), isTagAt(sql`${now}`)))
        .orderBy(asc(tag.name))
        .limit(limit),
  )
  const after = (repositoryId: number, name: string, now: number): RetainedRow[] =>
    page.all({ repositoryId, after: name, now, limit: TAGS_READ }) as RetainedRow[]
  return {
    /** Returns tags in byte order. There are no more if it returns less than TAGS_READ. */
    after,

    /** Counts the tags of a repository; other work can be done at each `yield`. */
    *count(repositoryId: number, retention: Retention, now: number): Generator<void> {
      if (!retention.needsCount) return
      let name = ''
      for (;;) {
        const rows = after(repositoryId, name, now)
        for (const row of rows) retention.count({ ...row, isImmutable: false })
        if (rows.length < TAGS_READ) return
        name = rows.at(-1)?.name ?? name
        yield
      }
    },
  }
}
