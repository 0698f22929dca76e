import { sql } from 'drizzle-orm'
import type { RepositorySet } from '../../domain/repository-set.ts'
import { type Digest, digestFromBytes } from '../../oci/digest.ts'
import type { RepositoryName, Tag } from '../../oci/reference.ts'
import type { Db } from '../database.ts'
import { repository } from '../schema.ts'
import { number, statement, text } from '../statement.ts'
import { turn } from '../turn.ts'
import { type NamedRow, readByName } from './repositories.ts'
import { isLike, likePattern } from './text-search.ts'
import type { Part } from './visible-pages.ts'

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

/** Tags that one repository contributes at most, so that no repository hides the others. */
const PER_REPOSITORY = 3

/** Tags that are looked at in one repository. Expired ones count until the collector has removed them. */
const LOOKED_AT_MAX = 64

/** Parts of the list of repositories that one search reads: over 100,000 repositories. */
const PARTS_MAX = 64

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
  return async (set: RepositorySet, wanted: Wanted): Promise<Part<FoundTag, string>> => {
    const { prefix: low, within, limit, now } = wanted
    // Names of tags are printable ASCII.
    const range = { low, high: `${low}\x7f`, now }
    const pattern = likePattern(within)
    const read = (from: string, size: number) => repositories.all({ ...range, pattern, from, limit: size })
    const rows: FoundTag[] = []
    let after: string | undefined = ''
    for (let parts = 0; parts < PARTS_MAX && after !== undefined && rows.length < limit; parts++) {
      const part: Part<NamedRow, string> = readByName(set, after, limit, read, ({ isFound }) => isFound === 1)
      for (const { id, name } of part.rows) {
        for (const row of tags.all({ ...range, repositoryId: id })) rows.push(toFoundTag(name, row))
        if (rows.length > limit) return { rows: rows.slice(0, limit), next: name }
      }
      after = part.next
      await turn()
    }
    return { rows, next: after }
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
          order by t.name limit ${sql.raw(String(PER_REPOSITORY))}`,
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
