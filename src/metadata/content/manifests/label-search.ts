import { sql } from 'drizzle-orm'
import type { RepositorySet } from '../../../domain/repository-set.ts'
import { type Digest, digestFromBytes } from '../../../oci/digest.ts'
import type { RepositoryName, Tag } from '../../../oci/reference.ts'
import type { Db } from '../../database.ts'
import { manifestLabel } from '../../schema/label-schema.ts'
import { number, statement, text } from '../../statement.ts'
import type { NamedRow } from '../repositories/repositories.ts'
import { PER_REPOSITORY, searchSlices } from '../repositories/repository-slices.ts'
import type { FoundManifest } from './manifest-prefix-search.ts'

/** A manifest with a label that begins with a text. */
export interface FoundLabel extends FoundManifest {
  /** The label, as `NAME=VALUE`. If several match, the last one in byte order. */
  label: string
  /** The newest tag of the manifest; null if it has none. */
  tag: Tag | null
}

/**
 * How many labels of one repository are examined, and how many tags of a manifest. They include those of deleted
 * manifests and expired tags.
 */
const LOOKED_AT_MAX = 64

/** Repositories that are searched before other requests get a turn: some milliseconds if all they have is deleted. */
const SLICE = 32

/** Slices that one search reads: over 100,000 repositories. */
const SLICES_MAX = 4096

interface Wanted {
  /** The first characters of `NAME=VALUE`, at most as many as a label has. */
  prefix: string
  limit: number
  /** Milliseconds since 1970. */
  now: number
}

/**
 * Returns the search for manifests by the first characters of a label, in all repositories of a set. It searches each
 * repository by its key of labels, so the time depends on how many repositories the caller may see, not on how many
 * labels there are. In each, it begins with the last label and the newest manifest.
 */
export function labelSearch(db: Db) {
  const { repositories, manifests } = statements(db)
  return async (set: RepositorySet, { prefix: low, limit, now }: Wanted) => {
    // No character of a label is greater than the last one of Unicode.
    const range = { low, high: `${low}\u{10ffff}` }
    return await searchSlices(set, limit, {
      slice: SLICE,
      slicesMax: SLICES_MAX,
      repositories: (from, limit) => repositories.all({ ...range, from, limit }),
      results: ({ id, name }) =>
        manifests.all({ ...range, repositoryId: id, now }).map((row) => toFoundLabel(name, row)),
    })
  }
}

function statements(db: Db) {
  const range = { low: text, high: text }
  const max = sql.raw(String(LOOKED_AT_MAX))
  const matches = (repositoryId: unknown, { low, high }: { low: unknown; high: unknown }) =>
    sql`(select label, manifest_id from ${manifestLabel}
        where repository_id = ${repositoryId} and label >= ${low} and label < ${high}
        order by label desc, manifest_id desc limit ${max}) l
      cross join manifest m on m.id = l.manifest_id and m.deleted_at is null`
  return {
    repositories: statement(
      db,
      { ...range, from: text, limit: number },
      ({ from, limit, ...range }) =>
        sql<NamedRow & { isFound: number }>`select id, name,
            exists (select 1 from ${matches(sql`repository.id`, range)}) as "isFound"
          from repository where name >= ${from} and deleted_at is null order by name limit ${limit}`,
    ),
    manifests: statement(
      db,
      { ...range, repositoryId: number, now: number },
      ({ repositoryId, now, ...range }) =>
        sql<StoredLabel>`select max(l.label) as label, m.digest, m.media_type as "mediaType",
            m.artifact_type as "artifactType", m.size,
            (select name from (select name, expires_at, updated_at from tag where manifest_id = m.id limit ${max})
              where expires_at is null or expires_at > ${now} order by updated_at desc, name limit 1) as tag
          from ${matches(repositoryId, range)}
          group by m.id order by m.id desc limit ${sql.raw(String(PER_REPOSITORY + 1))}`,
    ),
  }
}

interface StoredLabel extends Pick<FoundLabel, 'label' | 'tag' | 'mediaType' | 'artifactType' | 'size'> {
  digest: Buffer
}

function toFoundLabel(repository: RepositoryName, { digest, ...row }: StoredLabel): FoundLabel {
  const found: Digest = digestFromBytes(Buffer.from(digest))
  return { ...row, repository, digest: found }
}
