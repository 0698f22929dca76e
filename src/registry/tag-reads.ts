import { and, asc, desc, eq, gt, isNull, or, type SQL, sql } from 'drizzle-orm'
import type { Db } from '../database/database.ts'
import { isLike, likePattern } from '../database/lists.ts'
import { manifest, repository, tag } from '../database/schema.ts'
import { number, statement, text } from '../database/statement.ts'
import { type Digest, digestFromBytes } from '../oci/digest.ts'
import type { RepositoryName, Tag } from '../oci/reference.ts'
import { turn } from '../runtime/turn.ts'
import type { RepositoryReads } from './repositories.ts'

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

/** A tag with its manifest. */
export interface TagRow {
  name: Tag
  digest: Digest
  /** The digest that the manifest's bytes are stored under. The tag's digest may differ from it. */
  storedAs: Digest
  mediaType: string
  artifactType: string | null
  /** Bytes of the manifest. */
  size: number
  /** Times are milliseconds since 1970. */
  pushedAt: number
  updatedAt: number
  expiresAt: number | null
  pulls: number
  lastPulledAt: number | null
  version: number
}

/** Which tags are listed, and in which order. */
export interface TagQuery {
  /** Part of the name, ignoring case. */
  q?: string | undefined
  sort: 'name' | 'updated'
  order: 'asc' | 'desc'
  /** The entry before the page. Its `updatedAt` matters only if tags are sorted by it. */
  after?: Pick<TagRow, 'name' | 'updatedAt'> | undefined
}

/** Excludes expired tags. */
export const isTagAt = (now: SQL | number): SQL | undefined =>
  or(isNull(tag.expiresAt), gt(tag.expiresAt, now))

/** Selects tags with their manifests. */
function selectTags(db: Db) {
  return db
    .select({
      name: tag.name,
      digest: tag.digest,
      storedAs: manifest.digest,
      mediaType: manifest.mediaType,
      artifactType: manifest.artifactType,
      size: manifest.size,
      pushedAt: manifest.pushedAt,
      updatedAt: tag.updatedAt,
      expiresAt: tag.expiresAt,
      pulls: tag.pulls,
      lastPulledAt: tag.lastPulledAt,
      version: tag.version,
    })
    .from(tag)
    .innerJoin(manifest, eq(manifest.id, tag.manifestId))
}

type StoredTag = Omit<TagRow, 'name' | 'digest' | 'storedAs'> & {
  name: string
  digest: Buffer
  storedAs: Buffer
}

function toTag(row: StoredTag): TagRow {
  const digest = digestFromBytes(row.digest)
  return { ...row, name: row.name as Tag, digest, storedAs: storedAsOf(row, digest) }
}

/** Returns the digest that bytes are stored under as text; `digest` is the text of the row's digest. */
export function storedAsOf(row: Pick<StoredTag, 'digest' | 'storedAs'>, digest: Digest): Digest {
  return row.storedAs.equals(row.digest) ? digest : digestFromBytes(row.storedAs)
}

/** How many tags are examined in the first turn, and at most in one turn. */
const LOOKED_AT_FIRST = 256
const LOOKED_AT_MAX = 4096

/** A turn that takes longer halves the next one. */
const TURN_MS_MAX = 2

type Place = NonNullable<TagQuery['after']>

/** Positions before and after every tag. Names are printable ASCII. */
const START = { name: '', updatedAt: -1 }
const END = { name: '\x7f', updatedAt: Number.MAX_SAFE_INTEGER }

/**
 * Returns a function that finds at most `limit` matching tags of a repository. No index finds a part of a name, so a
 * repository with many tags is scanned, some tags per turn.
 */
function tagSearch(db: Db) {
  const inOrder = {
    name: { asc: slices(db, 'name', 'asc'), desc: slices(db, 'name', 'desc') },
    updated: { asc: slices(db, 'updated', 'asc'), desc: slices(db, 'updated', 'desc') },
  }
  return async (repositoryId: number, query: TagQuery, limit: number, now: number): Promise<TagRow[]> => {
    const { q = '', sort, order, after } = query
    const { endOf, read } = inOrder[sort][order]
    const [first, last] = order === 'asc' ? [START, END] : [END, START]
    const found: TagRow[] = []
    let { name, updatedAt }: Omit<Place, 'name'> & { name: string } = after ?? first
    for (let size = Math.max(limit, LOOKED_AT_FIRST); ; ) {
      const began = performance.now()
      const from = { repositoryId, name, updatedAt }
      const end = endOf.get({ ...from, skipped: size - 1 })
      const { name: endName, updatedAt: endUpdatedAt } = end ?? last
      const until = { endName, endUpdatedAt, limit: limit - found.length }
      found.push(...read.all({ ...from, ...until, pattern: likePattern(q), now }).map(toTag))
      if (end === undefined || found.length >= limit) return found
      name = endName
      updatedAt = endUpdatedAt
      const isSlow = performance.now() - began > TURN_MS_MAX
      size = isSlow ? Math.max(1, size >> 1) : Math.min(size * 2, LOOKED_AT_MAX)
      await turn()
    }
  }
}

function slices(db: Db, sort: TagQuery['sort'], order: TagQuery['order']) {
  const [direction, beyond, until] = order === 'asc' ? [asc, sql`>`, sql`<=`] : [desc, sql`<`, sql`>=`]
  const sorted = sort === 'name' ? [direction(tag.name)] : [direction(tag.updatedAt), direction(tag.name)]
  /** A subquery hides the parameter from the planner. Otherwise SQLite would recompile the statement. */
  const compare = (operator: typeof beyond, name: unknown, updatedAt: unknown) =>
    sort === 'name'
      ? sql`${tag.name} ${operator} (select ${name})`
      : sql`(${tag.updatedAt}, ${tag.name}) ${operator} ((select ${updatedAt}), (select ${name}))`
  const place = { repositoryId: number, name: text, updatedAt: number }
  return {
    /** Returns the last of this many tags after a position; undefined when there are fewer. */
    endOf: statement(db, { ...place, skipped: number }, ({ repositoryId, name, updatedAt, skipped }) =>
      db
        .select({ name: tag.name, updatedAt: sort === 'name' ? sql<number>`0` : tag.updatedAt })
        .from(tag)
        .where(and(eq(tag.repositoryId, repositoryId), compare(beyond, name, updatedAt)))
        .orderBy(...sorted)
        .limit(1)
        .offset(skipped),
    ),

    /** Returns the matching tags between two positions. */
    read: statement(
      db,
      { ...place, endName: text, endUpdatedAt: number, pattern: text, now: number, limit: number },
      ({ repositoryId, name, updatedAt, endName, endUpdatedAt, pattern, now, limit }) =>
        selectTags(db)
          .where(
            and(
              eq(tag.repositoryId, repositoryId),
              compare(beyond, name, updatedAt),
              compare(until, endName, endUpdatedAt),
              isLike(tag.name, sql`(select ${pattern})`),
              isTagAt(sql`${now}`),
            ),
          )
          .orderBy(...sorted)
          .limit(limit),
    ),
  }
}
