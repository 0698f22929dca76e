import { and, asc, eq, gt, isNull, sql } from 'drizzle-orm'
import type { RepositoryName, Tag } from '../../../oci/reference.ts'
import type { Db } from '../../database.ts'
import { repository, tag } from '../../schema/schema.ts'
import { number, statement, text } from '../../statement.ts'
import type { RepositoryReads } from '../repositories/repositories.ts'
import { isTagAt, selectTags, type TagQuery, type TagRow, toTag } from './listed-tag.ts'
import { tagSearch } from './tag-search.ts'

/** Reads of tags. `now` is milliseconds since 1970; expired tags are left out. */
export function tagReads(db: Db, { find }: Pick<RepositoryReads, 'find'>) {
  const { page, byName, ofManifest } = statements(db)
  const search = tagSearch(db)
  return {
    /** Returns at most `limit` tags after `last`, in byte order; undefined without such a repository. */
    list(name: RepositoryName, last: string, limit: number, now: number): Tag[] | undefined {
      const repositoryId = find(name)
      if (repositoryId === undefined) return undefined
      return page.all({ repositoryId, last, limit, now }).map((row) => row.name as Tag)
    },

    /** Returns a tag with its manifest. */
    find(repository: RepositoryName, name: Tag, now: number): TagRow | undefined {
      const row = byName.get({ repository, name, now })
      return row && toTag(row)
    },

    /** Returns at most `limit` matching tags; undefined without such a repository. */
    async search(
      name: RepositoryName,
      query: TagQuery,
      limit: number,
      now: number,
    ): Promise<TagRow[] | undefined> {
      const repositoryId = find(name)
      return repositoryId === undefined ? undefined : await search(repositoryId, query, limit, now)
    },

    /** Returns at most `limit` tags after `last` that point at a manifest. */
    ofManifest: (manifestId: number, last: string, limit: number, now: number): Tag[] =>
      ofManifest.all({ manifestId, last, limit, now }).map((row) => row.name as Tag),
  }
}

function statements(db: Db) {
  const after = { last: text, limit: number, now: number }
  const page = statement(db, { repositoryId: number, ...after }, ({ repositoryId, last, limit, now }) =>
    db
      .select({ name: tag.name })
      .from(tag)
      .where(and(eq(tag.repositoryId, repositoryId), gt(tag.name, last), isTagAt(sql`${now}`)))
      .orderBy(asc(tag.name))
      .limit(limit),
  )
  const byName = statement(db, { repository: text, name: text, now: number }, (wanted) =>
    selectTags(db)
      .innerJoin(repository, eq(repository.id, tag.repositoryId))
      .where(
        and(
          eq(repository.name, wanted.repository),
          isNull(repository.deletedAt),
          eq(tag.name, wanted.name),
          isTagAt(sql`${wanted.now}`),
        ),
      ),
  )
  const ofManifest = statement(db, { manifestId: number, ...after }, ({ manifestId, last, limit, now }) =>
    db
      .select({ name: tag.name })
      .from(tag)
      .where(and(eq(tag.manifestId, manifestId), gt(tag.name, last), isTagAt(sql`${now}`)))
      .orderBy(asc(tag.name))
      .limit(limit),
  )
  return { page, byName, ofManifest }
}
