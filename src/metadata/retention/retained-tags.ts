import { and, asc, eq, gt, sql } from 'drizzle-orm'
import type { RetainedTag, Retention } from '../../domain/retention.ts'
import { type Digest, digestFromBytes } from '../../oci/digest.ts'
import type { Tag } from '../../oci/reference.ts'
import { isTagAt } from '../content/listed-tag.ts'
import type { Db } from '../database.ts'
import { manifest, tag } from '../schema.ts'
import { number, statement, text } from '../statement.ts'

/** Tags that are read at once: about a millisecond. */
const TAGS_READ = 200

/** A tag as retention sees it. */
export interface RetainedRow extends Omit<RetainedTag, 'isImmutable'> {
  name: Tag
  digest: Digest
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
    page.all({ repositoryId, after: name, now, limit: TAGS_READ }).map((row) => ({
      ...row,
      name: row.name as Tag,
      digest: digestFromBytes(row.digest),
    }))
  return {
    /** Returns tags in byte order. There are no more if it returns none. */
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
