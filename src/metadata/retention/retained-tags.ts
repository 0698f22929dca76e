import { and, asc, eq, gt, sql } from 'drizzle-orm'
import type { RetainedTag, Retention } from '../../domain/retention/retention.ts'
import type { Tag } from '../../oci/reference.ts'
import { isTagAt } from '../content/tags/listed-tag.ts'
import type { Db } from '../database.ts'
import { manifest, tag } from '../schema/schema.ts'
import { number, statement, text } from '../statement.ts'

/** How many tags are read at once, which takes about a millisecond. */
export const TAGS_READ = 200

/** What retention needs of a tag. */
export interface RetainedRow extends Omit<RetainedTag, 'isImmutable'> {
  name: Tag
  /** The stored form. A run needs the digests only of tags that expire. */
  digest: Buffer
}

/** Reads the tags of a repository for retention. */
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
          // Pushing the manifest that the tag already points at does not move the tag.
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
    /** Returns tags in byte order; fewer than TAGS_READ at the end. */
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
