import { sql } from 'drizzle-orm'
import type { RepositorySet } from '../access/patterns.ts'
import type { Db } from '../database/database.ts'
import { isLike, likePattern, type Part, readPart } from '../database/lists.ts'
import {
  blob,
  manifest,
  manifestDigest,
  manifestLabel,
  repository,
  repositoryBlob,
} from '../database/schema.ts'
import { bytes, number, statement, text } from '../database/statement.ts'
import {
  type Digest,
  type DigestRange,
  digestFromBytes,
  type RepositoryName,
  type Tag,
} from '../oci/reference.ts'
import type { NamedRow } from '../registry/store.ts'
import { turn } from '../runtime/clock.ts'

declare module '../database/metadata.ts' {
  interface Reads {
    findDigests: ReturnType<typeof digestSearch>
    findTags: ReturnType<typeof tagPrefixSearch>
    findManifests: ReturnType<typeof manifestPrefixSearch>
    findLabels: ReturnType<typeof labelSearch>
  }
}

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
  return async (set: RepositorySet, wanted: Wanted) => {
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
const LABELS_LOOKED_AT_MAX = 64

/** Repositories that are searched before other requests get a turn: some milliseconds if all they have is deleted. */
const LABEL_SLICE = 32

/** Slices that one search reads: over 100,000 repositories. */
const LABEL_SLICES_MAX = 4096

interface WantedLabel {
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
  const { repositories, manifests } = labelStatements(db)
  return async (set: RepositorySet, { prefix: low, limit, now }: WantedLabel) => {
    // No character of a label is greater than the last one of Unicode.
    const range = { low, high: `${low}\u{10ffff}` }
    return await searchSlices(set, limit, {
      slice: LABEL_SLICE,
      slicesMax: LABEL_SLICES_MAX,
      repositories: (from, limit) => repositories.all({ ...range, from, limit }),
      results: ({ id, name }) =>
        manifests.all({ ...range, repositoryId: id, now }).map((row) => toFoundLabel(name, row)),
    })
  }
}

function labelStatements(db: Db) {
  const range = { low: text, high: text }
  const max = sql.raw(String(LABELS_LOOKED_AT_MAX))
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

/** A manifest of some repository. */
export interface FoundManifest {
  repository: RepositoryName
  digest: Digest
  mediaType: string
  artifactType: string | null
  /** Bytes. */
  size: number
}

/** A place in the order of digests, and of repositories of one digest. */
interface Key {
  digest: Uint8Array
  repositoryId: number
}

/** Parts that one search reads. One digest can be in very many repositories that the caller may not see. */
const PARTS_MAX = 64

/** Returns the search for manifests whose digest is in a range, in all repositories of a set. */
export function manifestPrefixSearch(db: Db) {
  // What is deleted is left out below, so that each read looks at a bounded number of rows.
  const manifests = statement(
    db,
    { digest: bytes, repositoryId: number, high: bytes, limit: number },
    ({ digest, repositoryId, high, limit }) =>
      sql<StoredManifest>`select m.digest, m.repository_id as "repositoryId", m.media_type as "mediaType",
          m.artifact_type as "artifactType", m.size, r.name,
          (m.deleted_at is not null or r.deleted_at is not null) as "isDeleted"
        from manifest m cross join repository r on r.id = m.repository_id
        where (m.digest, m.repository_id) > (${digest}, ${repositoryId}) and m.digest <= ${high}
        order by m.digest, m.repository_id limit ${limit}`,
  )
  return async (
    set: RepositorySet,
    { low, high, size }: DigestRange,
    limit: number,
  ): Promise<{ rows: FoundManifest[]; hasMore: boolean }> => {
    const walk = {
      read: (after: Key, limit: number) => manifests.all({ ...after, high, limit }),
      keyOf: ({ digest, repositoryId }: StoredManifest) => ({ digest, repositoryId }),
      isShown: ({ digest, isDeleted, name }: StoredManifest) =>
        isDeleted === 0 && digest.length === size && set.has(name),
    }
    const rows: FoundManifest[] = []
    let after: Key | undefined = { digest: low, repositoryId: 0 }
    for (let parts = 0; parts < PARTS_MAX && after !== undefined && rows.length < limit; parts++) {
      const part: Part<StoredManifest, Key> = readPart(walk, after, limit - rows.length)
      rows.push(...part.rows.map(toFoundManifest))
      after = part.next
      await turn()
    }
    return { rows, hasMore: after !== undefined }
  }
}

interface StoredManifest extends Pick<FoundManifest, 'mediaType' | 'artifactType' | 'size'> {
  digest: Buffer
  repositoryId: number
  name: RepositoryName
  isDeleted: number
}

function toFoundManifest(row: StoredManifest): FoundManifest {
  const { digest, name, mediaType, artifactType, size } = row
  return { repository: name, digest: digestFromBytes(digest), mediaType, artifactType, size }
}

/** The maximum rows of one read. Six hex characters distinguish 16 million digests. */
const ROWS_MAX = 200

/** Reads of the digests in a range, to complete shortened digests. */
export function digestSearch(db: Db) {
  const range = { low: bytes, high: bytes, size: number, repositoryId: number, deleted: number }
  const inRange = ({ low, high, size }: Record<'low' | 'high' | 'size', unknown>, digest: unknown) =>
    sql`${digest} between ${low} and ${high} and length(${digest}) = ${size}`
  const isShown = ({ repositoryId, deleted }: Record<'repositoryId' | 'deleted', unknown>) =>
    sql`${repositoryId} in (0, ${manifest.repositoryId}) and (${deleted} = 1 or ${manifest.deletedAt} is null)`
  const manifests = statement(db, range, (wanted) =>
    db
      .select({ digest: manifest.digest })
      .from(manifest)
      .where(sql`${inRange(wanted, manifest.digest)} and ${isShown(wanted)}`)
      .limit(ROWS_MAX),
  )
  const others = statement(db, range, (wanted) =>
    db
      .select({ digest: manifestDigest.digest })
      .from(manifestDigest)
      .innerJoin(manifest, sql`${manifest.id} = ${manifestDigest.manifestId}`)
      .where(sql`${inRange(wanted, manifestDigest.digest)} and ${isShown(wanted)}`)
      .limit(ROWS_MAX),
  )
  const blobs = statement(db, range, ({ repositoryId, deleted, ...wanted }) =>
    db
      .select({ digest: blob.digest })
      .from(blob)
      .where(
        sql`${inRange(wanted, blob.digest)} and (${repositoryId} = 0 or exists (select 1 from ${repositoryBlob}
          where ${repositoryBlob.blobId} = ${blob.id} and ${repositoryBlob.repositoryId} = ${repositoryId}
          and (${deleted} = 1 or ${repositoryBlob.deletedAt} is null)))`,
      )
      .limit(ROWS_MAX),
  )
  /**
   * Returns the distinct digests of manifests and blobs in the range, in one repository or in all.
   *
   * @param deleted whether to include deleted content, for callers who can restore it
   */
  return (found: DigestRange, repositoryId: number | undefined, deleted: boolean): Digest[] => {
    const asked = { ...found, repositoryId: repositoryId ?? 0, deleted: Number(deleted) }
    const rows = [...manifests.all(asked), ...others.all(asked), ...blobs.all(asked)]
    return [...new Set(rows.map(({ digest }) => digestFromBytes(digest)))]
  }
}

/** What one repository contributes at most, so that no repository hides the others. */
const PER_REPOSITORY = 3

/** A search of each repository by itself. */
interface SliceSearch<T> {
  /** How many repositories are searched before other requests get a turn. */
  slice: number
  slicesMax: number
  /** Returns repositories from a name on, and whether each has a result. */
  repositories(from: string, limit: number): (NamedRow & { isFound: number })[]
  /** Returns the results of a repository, at least PER_REPOSITORY + 1 if it has as many. */
  results(repository: NamedRow): T[]
}

/** Searches the repositories of a set, and gives other requests a turn in between. */
async function searchSlices<T>(
  set: RepositorySet,
  limit: number,
  { slice, slicesMax, repositories, results }: SliceSearch<T>,
): Promise<{ rows: T[]; hasMore: boolean }> {
  const rows: T[] = []
  let hasMore = false
  let from = set.seek('')
  for (let slices = 0; slices < slicesMax && from !== undefined; slices++) {
    const part = repositories(from, slice)
    for (const { id, name, isFound } of part) {
      if (isFound === 0 || !set.has(name)) continue
      const found = results({ id, name })
      if (found.length > PER_REPOSITORY) hasMore = true
      rows.push(...found.slice(0, PER_REPOSITORY))
      if (rows.length > limit) return { rows: rows.slice(0, limit), hasMore: true }
    }
    const last = part.at(-1)
    from = last === undefined || part.length < slice ? undefined : set.seek(`${last.name}\0`)
    await turn()
  }
  return { rows, hasMore: hasMore || from !== undefined }
}
