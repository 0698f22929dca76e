import { sql } from 'drizzle-orm'
import type { RepositorySet } from '../../../domain/repository-set.ts'
import { type Digest, digestFromBytes } from '../../../oci/digest.ts'
import type { RepositoryName, Tag } from '../../../oci/reference.ts'
import type { Db } from '../../database.ts'
import { repository } from '../../schema/schema.ts'
import { number, statement, text } from '../../statement.ts'
import type { NamedRow } from '../repositories/repositories.ts'
import { PER_REPOSITORY, searchSlices } from '../repositories/repository-slices.ts'
import { isLike, likePattern } from '../text-search.ts'

/** A tag of some repository. */
export interface FoundTag {
  repository: RepositoryName
  tag: Tag
  digest: Digest
  /** The digest that the manifest's bytes are stored under. */
  storedAs: Digest
  mediaType: string
  artifactType: string | null
  /** Bytes of the manifest. */
  size: number
}

export interface FoundTags {
  rows: FoundTag[]
  /** Whether there may be more. */
  hasMore: boolean
}

/** How many tags of one repository are examined, including expired ones that are not collected yet. */
const LOOKED_AT_MAX = 64

/** Repositories that are looked into before other requests get a turn: some milliseconds from a cold disk. */
const SLICE = 128

/** Slices that one search reads: over 100,000 repositories. */
const SLICES_MAX = 1024

interface Wanted {
  /** The first characters of the tag. */
  prefix: string
  /** Part of the repository's name; empty for any. */
  within: string
  limit: number
  /** Milliseconds since 1970. */
  now: number
}

/**
 * Returns the search for tags by their first characters, in all repositories of a set. It looks into each repository
 * through the index of its tags, and other requests get a turn in between: the time depends on how many repositories
 * the caller may see, not on how many tags there are.
 */
export function tagPrefixSearch(db: Db) {
  const { repositories, tags } = statements(db)
  return async (set: RepositorySet, wanted: Wanted): Promise<FoundTags> => {
    const { prefix: low, within, limit, now } = wanted
    // Names of tags are printable ASCII.
    const range = { low, high: `${low}\x7f`, now }
    const pattern = likePattern(within)
    return await searchSlices(set, limit, {
      slice: SLICE,
      slicesMax: SLICES_MAX,
      repositories: (from, limit) => repositories.all({ ...range, pattern, from, limit }),
      results: ({ id, name }) => tags.all({ ...range, repositoryId: id }).map((row) => toFoundTag(name, row)),
    })
  }
}

function statements(db: Db) {
  const range = { low: text, high: text, now: number }
  const inRange = (repositoryId: unknown, { low, high }: { low: unknown; high: unknown }) =>
    sql`select * from tag where repository_id = ${repositoryId} and name >= ${low} and name < ${high}
      order by name limit ${sql.raw(String(LOOKED_AT_MAX))}`
  return {
    repositories: statement(
      db,
      { ...range, pattern: text, from: text, limit: number },
      ({ pattern, from, limit, now, ...range }) =>
        sql<NamedRow & { isFound: number }>`select id, name, (${isLike(repository.name, pattern)}
            and exists (select 1 from (${inRange(sql`repository.id`, range)})
              where expires_at is null or expires_at > ${now})) as "isFound"
          from repository where name >= ${from} and deleted_at is null order by name limit ${limit}`,
    ),
    tags: statement(
      db,
      { ...range, repositoryId: number },
      ({ repositoryId, now, ...range }) =>
        sql<StoredTag>`select t.name, t.digest, m.digest as "storedAs", m.media_type as "mediaType",
            m.artifact_type as "artifactType", m.size
          from (${inRange(repositoryId, range)}) t join manifest m on m.id = t.manifest_id
          where t.expires_at is null or t.expires_at > ${now}
          order by t.name limit ${sql.raw(String(PER_REPOSITORY + 1))}`,
    ),
  }
}

interface StoredTag extends Pick<FoundTag, 'mediaType' | 'artifactType' | 'size'> {
  name: string
  digest: Buffer
  storedAs: Buffer
}

function toFoundTag(repository: RepositoryName, { name, digest, storedAs, ...row }: StoredTag): FoundTag {
  return {
    ...row,
    repository,
    tag: name as Tag,
    digest: digestFromBytes(digest),
    storedAs: digestFromBytes(storedAs),
  }
}
