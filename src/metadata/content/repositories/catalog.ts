import { and, asc, desc, eq, gte, isNull, lt, type Placeholder, type SQL, sql } from 'drizzle-orm'
import type { RepositorySet } from '../../../domain/repository-set.ts'
import { type Digest, digestFromBytes } from '../../../oci/digest.ts'
import type { RepositoryName } from '../../../oci/reference.ts'
import type { Db } from '../../database.ts'
import { selectBy } from '../../rows.ts'
import { manifest, repository } from '../../schema/schema.ts'
import { number, statement, text } from '../../statement.ts'
import type { RepositoryReads } from './repositories.ts'
import { repositorySearch } from './repository-search.ts'
import { type Part, readPart } from './visible-pages.ts'

/** A repository with its settings, counters and sums. `deletedAt` is null unless deleted ones are listed. */
export type RepositoryRow = Omit<typeof repository.$inferSelect, 'name'> & { name: RepositoryName }

/** A manifest of a repository. */
export interface ListedManifest {
  id: number
  digest: Digest
  mediaType: string
  artifactType: string | null
  subject: Digest | undefined
  /** Bytes. */
  size: number
  /** Times are milliseconds since 1970. */
  pushedAt: number
  deletedAt: number | null
  unreferencedAt: number | null
  untaggedAt: number | null
  version: number
}

/** The position of a deleted repository in their list. */
export interface DeletedKey {
  /** Milliseconds since 1970. */
  deletedAt: number
  id: number
}

/** How many expired tags a count examines. */
const ENDED_MAX = 5000

const FIRST_DELETED: DeletedKey = { deletedAt: Number.MAX_SAFE_INTEGER, id: 0 }

/** Lists, by page, what exists and what can be restored. */
export function catalogReads(db: Db, { find, list }: Pick<RepositoryReads, 'find' | 'list'>) {
  return { ...repositoryPages(db, list), ...deletedPages(db), ...manifestPages(db, find) }
}

function repositoryPages(db: Db, list: RepositoryReads['list']) {
  const { byName, byIds, endedTagsOf } = statements(db)
  const search = repositorySearch(db)
  return {
    /**
     * Returns at most `limit` repositories of the set after the name `last`, in byte order, with `q` in the name or
     * description.
     */
    async repositories(
      set: RepositorySet,
      q: string,
      last: string,
      limit: number,
    ): Promise<Part<RepositoryRow, string>> {
      const { rows, next } = q === '' ? list(set, last, limit) : await search(set, q, last, limit)
      const ids = JSON.stringify(rows.map(({ id }) => id))
      return { rows: byIds.all({ ids }).map(toRepository), next }
    },

    /** Returns a repository that is not deleted. */
    findRepository(name: RepositoryName): RepositoryRow | undefined {
      const row = byName.get({ name })
      return row && toRepository(row)
    },

    /** Returns how many tags each of these repositories has; `now` is milliseconds since 1970. */
    countTags(rows: readonly RepositoryRow[], now: number): Map<number, number> {
      const ids = JSON.stringify(rows.map(({ id }) => id))
      const ended = new Map(endedTagsOf.all({ ids, now }).map(({ id, n }) => [id, n]))
      return new Map(rows.map(({ id, tagCount }) => [id, tagCount - (ended.get(id) ?? 0)]))
    },
  }
}

function deletedPages(db: Db) {
  const page = (isOf: (name: Placeholder) => SQL | undefined) =>
    statement(
      db,
      { windowStart: number, deletedAt: number, id: number, name: text, limit: number },
      ({ windowStart, deletedAt, id, name, limit }) =>
        db
          .select()
          .from(repository)
          .where(
            and(
              gte(repository.deletedAt, windowStart),
              sql`(${repository.deletedAt}, ${repository.id}) < (${deletedAt}, ${id})`,
              isOf(name),
            ),
          )
          .orderBy(desc(repository.deletedAt), desc(repository.id))
          .limit(limit),
    )
  const all = page(() => undefined)
  const named = page((name) => eq(repository.name, name))
  return {
    /**
     * Returns at most `limit` repositories of the set that were deleted at `windowStart` or later, the most recently
     * deleted first, after the entry `after`. A name limits the list to repositories of that name.
     */
    deletedRepositories(
      set: RepositorySet,
      query: { windowStart: number; after?: DeletedKey; name?: RepositoryName },
      limit: number,
    ): Part<RepositoryRow, DeletedKey> {
      const { windowStart, after = FIRST_DELETED, name } = query
      const found = name === undefined ? all : named
      return readPart<RepositoryRow, DeletedKey>(
        {
          read: ({ deletedAt, id }, size) =>
            found.all({ windowStart, deletedAt, id, name: name ?? '', limit: size }).map(toRepository),
          keyOf: ({ deletedAt, id }) => ({ deletedAt: deletedAt ?? 0, id }),
          isShown: (row) => set.has(row.name),
        },
        after,
        limit,
      )
    },
  }
}

function manifestPages(db: Db, find: RepositoryReads['find']) {
  const byId = selectBy(db, manifest, 'id')
  const page = (isShown: (windowStart: Placeholder) => SQL) => {
    const rows = statement(
      db,
      { repositoryId: number, before: number, windowStart: number, limit: number },
      ({ repositoryId, before, windowStart, limit }) =>
        db
          .select()
          .from(manifest)
          .where(and(eq(manifest.repositoryId, repositoryId), lt(manifest.id, before), isShown(windowStart)))
          .orderBy(desc(manifest.id))
          .limit(limit),
    )
    return (name: RepositoryName, windowStart: number, before: number, limit: number) => {
      const repositoryId = find(name)
      if (repositoryId === undefined) return undefined
      return rows.all({ repositoryId, before, windowStart, limit }).map(toManifest)
    }
  }
  const present = page(() => isNull(manifest.deletedAt))
  return {
    /** Returns the manifest of an id that was just found. */
    manifestOf(id: number): ListedManifest | undefined {
      const row = byId.get({ id })
      return row && toManifest(row)
    },

    /** Returns at most `limit` manifests before the id `before`, newest first; undefined without such a repository. */
    manifests: (name: RepositoryName, before: number, limit: number): ListedManifest[] | undefined =>
      present(name, 0, before, limit),

    /** Does the same for manifests that were deleted at `windowStart` or later. */
    deletedManifests: page((windowStart) => gte(manifest.deletedAt, windowStart)),
  }
}

function statements(db: Db) {
  const byName = statement(db, { name: text }, ({ name }) =>
    db
      .select()
      .from(repository)
      .where(and(eq(repository.name, name), isNull(repository.deletedAt))),
  )
  const byIds = statement(db, { ids: text }, ({ ids }) =>
    db
      .select()
      .from(repository)
      .where(
        and(sql`${repository.id} in (select value from json_each(${ids}))`, isNull(repository.deletedAt)),
      )
      .orderBy(asc(repository.name)),
  )
  // Counts expired tags that are not removed yet. Only the first ENDED_MAX of all repositories are examined.
  const endedTagsOf = statement(
    db,
    { ids: text, now: number },
    ({ ids, now }) =>
      sql<TagCount>`select repository_id as id, count(*) as n
        from (select repository_id from tag where expires_at <= ${now} limit ${sql.raw(String(ENDED_MAX))})
        where repository_id in (select value from json_each(${ids})) group by repository_id`,
  )
  return { byName, byIds, endedTagsOf }
}

interface TagCount {
  id: number
  n: number
}

function toRepository(row: typeof repository.$inferSelect): RepositoryRow {
  return { ...row, name: row.name as RepositoryName }
}

function toManifest({ repositoryId: _, ...row }: typeof manifest.$inferSelect): ListedManifest {
  const { digest, subject } = row
  return {
    ...row,
    digest: digestFromBytes(digest),
    subject: subject === null ? undefined : digestFromBytes(subject),
  }
}
