import { and, asc, desc, eq, gt, gte, isNull, lt, type Placeholder, type SQL, sql } from 'drizzle-orm'
import type { RepositorySet } from '../access/patterns.ts'
import type { Db } from '../database/database.ts'
import { isLike, likePattern, type Part, readByName, readPart, trigramQuery } from '../database/lists.ts'
import type { ReadTotal } from '../database/operation.ts'
import { blob, manifest, repository, repositoryBlob } from '../database/schema.ts'
import { bytes, firstRows, number, selectBy, statement, text } from '../database/statement.ts'
import { type Digest, digestFromBytes, digestToBytes, type RepositoryName } from '../oci/reference.ts'
import type { NamedRow, RepositoryReads } from '../registry/store.ts'
import { turn } from '../runtime/clock.ts'

declare module '../database/metadata.ts' {
  interface Reads {
    catalog: ReturnType<typeof catalogReads>
    blobUses: ReturnType<typeof blobUseReads>
    storage: ReturnType<typeof storageReads>
  }
}

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
  const page = statement(
    db,
    { windowStart: number, deletedAt: number, id: number, limit: number },
    ({ windowStart, deletedAt, id, limit }) =>
      db
        .select()
        .from(repository)
        .where(
          and(
            gte(repository.deletedAt, windowStart),
            sql`(${repository.deletedAt}, ${repository.id}) < (${deletedAt}, ${id})`,
          ),
        )
        .orderBy(desc(repository.deletedAt), desc(repository.id))
        .limit(limit),
  )
  return {
    /**
     * Returns at most `limit` repositories of the set that were deleted at `windowStart` or later, the most recently
     * deleted first, after the entry `after`.
     */
    deletedRepositories(
      set: RepositorySet,
      { windowStart, after = FIRST_DELETED }: { windowStart: number; after?: DeletedKey },
      limit: number,
    ): Part<RepositoryRow, DeletedKey> {
      return readPart<RepositoryRow, DeletedKey>(
        {
          read: (key, size) => page.all({ windowStart, ...key, limit: size }).map(toRepository),
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

/** How many matches of the index are looked up. If there are more, reading the list finds a page of them sooner. */
const MATCHES_MAX = 500

type Found = NamedRow & { isFound: number }

/**
 * Returns a function that searches for repositories whose name or description contains a text. It finds a rare text
 * with the index. For any other text it reads the list, and gives other requests a turn in between.
 */
function repositorySearch(db: Db) {
  const { matches, among, all } = searchStatements(db)
  return async (
    set: RepositorySet,
    q: string,
    last: string,
    limit: number,
  ): Promise<Part<NamedRow, string>> => {
    const query = trigramQuery(q)
    const rare = query === undefined ? [] : matches.all({ query })
    const isRare = query !== undefined && rare.length <= MATCHES_MAX
    const ids = JSON.stringify(rare.map(({ id }) => id))
    const pattern = likePattern(q)
    const read = (from: string, size: number) =>
      isRare ? among.all({ ids, from, limit: size }) : all.all({ pattern, from, limit: size })
    const rows: NamedRow[] = []
    for (let after = last; ; await turn()) {
      const part = readByName(set, after, limit - rows.length, read, ({ isFound }) => isFound === 1)
      rows.push(...part.rows)
      if (part.next === undefined || rows.length === limit) return { rows, next: part.next }
      after = part.next
    }
  }
}

function searchStatements(db: Db) {
  const page = { from: text, limit: number }
  return {
    matches: statement(
      db,
      { query: text },
      ({ query }) => sql<{ id: number }>`select rowid as id from repository_search
        where repository_search match ${query} limit ${sql.raw(String(MATCHES_MAX + 1))}`,
    ),
    among: statement(
      db,
      { ids: text, ...page },
      ({ ids, from, limit }) => sql<Found>`select id, name, 1 as "isFound" from repository
        where id in (select value from json_each(${ids})) and name >= ${from} and deleted_at is null
        order by name limit ${limit}`,
    ),
    all: statement(
      db,
      { pattern: text, ...page },
      ({ pattern, from, limit }) => sql<Found>`select id, name,
          (${isLike(repository.name, pattern)} or ${isLike(repository.description, pattern)}) as "isFound"
        from repository where name >= ${from} and deleted_at is null order by name limit ${limit}`,
    ),
  }
}

/** What one repository holds. The bytes of deleted blobs count until they are collected. */
export interface RepositoryStorage {
  id: number
  name: RepositoryName
  /** The blobs that it links. */
  blobs: number
  bytes: number
  /** The bytes of those that no other repository links, which are freed with the repository. */
  ownBytes: number
  /** The upstream that its content is cached from; null for a local one. */
  upstream: string | null
  /** When it was deleted, in milliseconds since 1970. Only the list by bytes has deleted repositories. */
  deletedAt: number | null
}

/** The entry before a page, with the values that the list is sorted by. */
export type StorageCursor = { by: 'name'; name: string } | { by: 'bytes'; bytes: number; id: number }

/** Reads of how much is stored. */
export function storageReads(db: Db, total: ReadTotal) {
  const columns = {
    id: repository.id,
    name: repository.name,
    blobs: repository.blobCount,
    bytes: repository.blobBytes,
    ownBytes: repository.ownBytes,
    upstream: repository.upstream,
    deletedAt: repository.deletedAt,
  }
  const byName = statement(db, { last: text, limit: number }, ({ last, limit }) =>
    db
      .select(columns)
      .from(repository)
      .where(and(isNull(repository.deletedAt), gt(repository.name, last)))
      .orderBy(asc(repository.name))
      .limit(limit),
  )
  const largest = largestRepositories(db)
  const byIds = statement(db, { ids: text }, ({ ids }) =>
    db
      .select(columns)
      .from(repository)
      .where(sql`${repository.id} in (select value from json_each(${ids}))`)
      .orderBy(desc(repository.blobBytes), asc(repository.id)),
  )
  const named = statement(db, { name: text }, ({ name }) =>
    db
      .select(columns)
      .from(repository)
      .where(and(eq(repository.name, name), isNull(repository.deletedAt))),
  )
  return {
    /** Returns the count and bytes of all blobs, each counted once. */
    totals: (): { blobs: number; bytes: number } => ({
      blobs: total('blob.count'),
      bytes: total('blob.bytes'),
    }),

    /** Returns at most `limit` repositories after the cursor: by name, or the largest first, including deleted ones. */
    async list(cursor: StorageCursor, limit: number): Promise<RepositoryStorage[]> {
      const rows =
        cursor.by === 'name'
          ? byName.all({ last: cursor.name, limit })
          : byIds.all({ ids: await largest(cursor, limit) })
      return rows.map((row) => ({ ...row, name: row.name as RepositoryName }))
    },

    /** Returns what a repository holds that is not deleted. */
    find(name: RepositoryName): RepositoryStorage | undefined {
      const row = named.get({ name })
      return row && { ...row, name }
    },
  }
}

/** Finds the ids of the largest repositories, as a JSON array. */
function largestRepositories(db: Db) {
  type Row = { id: number; bytes: number }
  const some = statement(db, { after: number, limit: number }, ({ after, limit }) =>
    db
      .select({ id: repository.id, bytes: repository.blobBytes })
      .from(repository)
      .where(gt(repository.id, after))
      .orderBy(asc(repository.id))
      .limit(limit),
  )
  const read = (last: Row | undefined, limit: number) => some.all({ after: last?.id ?? 0, limit })
  const compare = (a: Row, b: Row) => b.bytes - a.bytes || a.id - b.id
  return async (after: Row, limit: number): Promise<string> =>
    JSON.stringify((await firstRows(read, compare, limit, after)).map(({ id }) => id))
}

/** A blob, whichever repositories link it. Times are milliseconds since 1970. */
export interface StoredBlob {
  id: number
  size: number
  storedAt: number
  /** When its bytes were last hashed: when it was pushed, or verified later. */
  verifiedAt: number
}

/** A repository that links a blob. */
export interface BlobUse {
  repositoryId: number
  repository: RepositoryName
  linkedAt: number
  /** Since when no manifest of the repository references the blob; null while one does. */
  unreferencedAt: number | null
}

/** Reads of where blobs are used. */
export function blobUseReads(db: Db) {
  const stored = statement(db, { digest: bytes }, ({ digest }) =>
    db
      .select({ id: blob.id, size: blob.size, storedAt: blob.storedAt, verifiedAt: blob.verifiedAt })
      .from(blob)
      .where(eq(blob.digest, digest)),
  )
  const links = statement(db, { blobId: number, after: number, limit: number }, ({ blobId, after, limit }) =>
    db
      .select({
        repositoryId: repository.id,
        repository: repository.name,
        linkedAt: repositoryBlob.linkedAt,
        unreferencedAt: repositoryBlob.unreferencedAt,
      })
      .from(repositoryBlob)
      .innerJoin(repository, eq(repository.id, repositoryBlob.repositoryId))
      .where(
        and(
          eq(repositoryBlob.blobId, blobId),
          gt(repositoryBlob.repositoryId, after),
          isNull(repositoryBlob.deletedAt),
          isNull(repository.deletedAt),
        ),
      )
      .orderBy(asc(repositoryBlob.repositoryId))
      .limit(limit),
  )
  return {
    find: (digest: Digest): StoredBlob | undefined => stored.get({ digest: digestToBytes(digest) }),

    /** Returns at most `limit` repositories of the set that link the blob, after the id `last`. */
    list: (blobId: number, set: RepositorySet, last: number, limit: number): Part<BlobUse, number> =>
      readPart<BlobUse, number>(
        {
          read: (after, size) => links.all({ blobId, after, limit: size }) as BlobUse[],
          keyOf: ({ repositoryId }) => repositoryId,
          isShown: (use) => set.has(use.repository),
        },
        last,
        limit,
      ),
  }
}
