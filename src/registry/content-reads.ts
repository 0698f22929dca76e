import { and, asc, desc, eq, gt, isNull, or, type Placeholder, type SQL, sql } from 'drizzle-orm'
import type { Db } from '../database/database.ts'
import { isLike, likePattern } from '../database/lists.ts'
import type { ReadTotal } from '../database/operation.ts'
import {
  convertedManifest,
  manifest,
  manifestBytes,
  manifestDigest,
  repository,
  tag,
} from '../database/schema.ts'
import { bytes, number, selectBy, statement, text } from '../database/statement.ts'
import {
  type Digest,
  digestFromBytes,
  digestToBytes,
  type Reference,
  type RepositoryName,
  type Tag,
} from '../oci/reference.ts'
import { turn } from '../runtime/clock.ts'
import type { RepositoryReads } from './repositories.ts'

/** A manifest found by a reference. `digest` is the one to return to the client. */
export interface ManifestRow {
  id: number
  digest: Digest
  /** When the tag expires; null for never, and for a digest. */
  expiresAt: number | null
  mediaType: string
  size: number
  artifactType: string | null
  subject: Digest | null
  /** The digest that its bytes are stored under. */
  storedAs: Digest
  /** Since when nothing has referenced it, or since when it has existed if nothing ever did. */
  unreferencedAt: number | null
  untaggedAt: number | null
  /** Its repository's own setting for manifests that never had a tag. */
  untaggedDays: number | null
}

/** Reads of manifests. */
export function manifestReads(db: Db) {
  const columns = {
    id: manifest.id,
    mediaType: manifest.mediaType,
    size: manifest.size,
    artifactType: manifest.artifactType,
    subject: manifest.subject,
    storedAs: manifest.digest,
    unreferencedAt: manifest.unreferencedAt,
    untaggedAt: manifest.untaggedAt,
    untaggedDays: repository.untaggedDays,
  }
  const inRepository = (name: Placeholder) =>
    and(eq(repository.name, name), isNull(repository.deletedAt), isNull(manifest.deletedAt))
  const byTag = statement(db, { name: text, tag: text, now: number }, (wanted) =>
    db
      .select({ ...columns, digest: tag.digest, expiresAt: tag.expiresAt })
      .from(repository)
      .innerJoin(tag, eq(tag.repositoryId, repository.id))
      .innerJoin(manifest, eq(manifest.id, tag.manifestId))
      .where(and(inRepository(wanted.name), eq(tag.name, wanted.tag), isTagAt(sql`${wanted.now}`))),
  )
  const byDigest = statement(db, { name: text, digest: bytes }, ({ name, digest }) =>
    db
      .select(columns)
      .from(repository)
      .innerJoin(manifest, eq(manifest.repositoryId, repository.id))
      .where(and(inRepository(name), eq(manifest.digest, digest))),
  )
  const byOtherDigest = statement(db, { name: text, digest: bytes }, ({ name, digest }) =>
    db
      .select(columns)
      .from(repository)
      .innerJoin(manifestDigest, eq(manifestDigest.repositoryId, repository.id))
      .innerJoin(manifest, eq(manifest.id, manifestDigest.manifestId))
      .where(and(inRepository(name), eq(manifestDigest.digest, digest))),
  )
  const content = selectBy(db, manifestBytes, 'digest')
  const findByDigest = (name: RepositoryName, named: Digest): ManifestRow | undefined => {
    const digest = digestToBytes(named)
    const row = byDigest.get({ name, digest }) ?? byOtherDigest.get({ name, digest })
    return row && toManifest({ ...row, digest, expiresAt: null }, named)
  }
  return {
    /** Returns the manifest of a tag or a digest; `now` is milliseconds since 1970, because tags expire. */
    find(name: RepositoryName, reference: Reference, now: number): ManifestRow | undefined {
      if (reference.tag !== undefined) {
        const row = byTag.get({ name, tag: reference.tag, now })
        return row && toManifest(row, digestFromBytes(row.digest))
      }
      return findByDigest(name, reference.digest)
    },

    /** Returns the manifest of a digest in a repository. */
    findByDigest,

    /** Returns the bytes as they were pushed. */
    getBytes(storedAs: Digest): Buffer {
      const found = this.findBytes(storedAs)
      if (found === undefined) throw new Error('a manifest has no bytes')
      return found
    },

    /** Returns the bytes; undefined if they were collected since the row was read. */
    findBytes: (storedAs: Digest): Buffer | undefined =>
      content.get({ digest: digestToBytes(storedAs) })?.bytes,
  }
}

interface StoredRow extends Omit<ManifestRow, 'digest' | 'subject' | 'storedAs'> {
  digest: Buffer
  subject: Buffer | null
  storedAs: Buffer
}

function toManifest(row: StoredRow, digest: Digest): ManifestRow {
  const subject = row.subject && digestFromBytes(row.subject)
  return { ...row, digest, subject, storedAs: storedAsOf(row, digest) }
}

/** A manifest with a subject, according to its row. */
export interface ReferrerRow {
  digest: Digest
  mediaType: string
  artifactType: string | null
  size: number
}

/** Reads of referrers. */
export function referrerReads(db: Db) {
  const parameters = { name: text, subject: bytes, last: bytes, limit: number }
  type Wanted = { [K in keyof typeof parameters]: Placeholder }
  const page = ({ name, subject, last, limit }: Wanted, filter?: SQL) =>
    db
      .select({
        digest: manifest.digest,
        mediaType: manifest.mediaType,
        artifactType: manifest.artifactType,
        size: manifest.size,
      })
      .from(repository)
      .innerJoin(manifest, eq(manifest.repositoryId, repository.id))
      .where(
        and(
          eq(repository.name, name),
          isNull(repository.deletedAt),
          eq(manifest.subject, subject),
          gt(manifest.digest, last),
          isNull(manifest.deletedAt),
          filter,
        ),
      )
      .orderBy(asc(manifest.digest))
      .limit(limit)
  const all = statement(db, parameters, (wanted) => page(wanted))
  const ofType = statement(db, { ...parameters, artifactType: text }, (wanted) =>
    page(wanted, eq(manifest.artifactType, wanted.artifactType)),
  )
  return {
    /** Returns at most `limit` referrers after `last`, in the order of their digests' bytes. */
    list(
      name: RepositoryName,
      subject: Digest,
      artifactType: string | undefined,
      last: Digest | undefined,
      limit: number,
    ): ReferrerRow[] {
      const after = last === undefined ? Buffer.alloc(0) : digestToBytes(last)
      const parameters = { name, subject: digestToBytes(subject), last: after, limit }
      const rows =
        artifactType === undefined ? all.all(parameters) : ofType.all({ ...parameters, artifactType })
      return rows.map((row) => ({ ...row, digest: digestFromBytes(row.digest) }))
    },
  }
}

/** The source of a conversion: the manifest of the repository, and the tag that the conversion contains. */
export interface ConversionSource {
  manifest: Digest
  tag: Tag
}

/** Reads of conversions. */
export function conversionReads(db: Db) {
  const byDigest = statement(db, { name: text, digest: bytes }, ({ name, digest }) =>
    db
      .select({ manifest: manifest.digest, tag: convertedManifest.tag })
      .from(repository)
      .innerJoin(convertedManifest, eq(convertedManifest.repositoryId, repository.id))
      .innerJoin(manifest, eq(manifest.id, convertedManifest.manifestId))
      .where(
        and(
          eq(repository.name, name),
          isNull(repository.deletedAt),
          isNull(manifest.deletedAt),
          eq(convertedManifest.digest, digest),
        ),
      ),
  )
  return {
    /** Returns the source of the conversion with this digest, while the source exists. */
    find(name: RepositoryName, digest: Digest): ConversionSource | undefined {
      const row = byDigest.get({ name, digest: digestToBytes(digest) })
      return row && { manifest: digestFromBytes(row.manifest), tag: row.tag as Tag }
    },
  }
}

/** A stored manifest whose labels are to be read. */
export interface UnlabelledManifest {
  id: number
  repositoryId: number
  repository: RepositoryName
  digest: Digest
  mediaType: string
}

/** Reads of the manifests whose labels are to be read. */
export function labelReads(db: Db, total: ReadTotal) {
  const columns = sql`m.id, m.repository_id as "repositoryId", r.name as repository, m.digest,
    m.media_type as "mediaType"`
  const upTo = statement(
    db,
    { id: number, limit: number },
    ({ id, limit }) => sql<UnlabelledRow>`select ${columns}
      from manifest m join repository r on r.id = m.repository_id
      where m.id <= ${id} order by m.id desc limit ${limit}`,
  )
  const configured = statement(
    db,
    { name: text, digest: bytes, limit: number },
    ({ name, digest, limit }) => sql<UnlabelledRow>`select ${columns}
      from repository r
      join manifest_reference f on f.digest = ${digest} and f.repository_id = r.id and f.role = 'config'
      join manifest m on m.id = f.manifest_id
      where r.name = ${name} and r.deleted_at is null limit ${limit}`,
  )
  return {
    /** Returns manifests from before there were labels that have not been read, the newest first. */
    unread(limit: number): UnlabelledManifest[] {
      const id = total('labels.unread')
      return id === 0 ? [] : upTo.all({ id, limit }).map(toLabelledManifest)
    },

    /** Returns manifests of a repository that have this config. */
    withConfig: (name: RepositoryName, digest: Digest, limit: number): UnlabelledManifest[] =>
      configured.all({ name, digest: digestToBytes(digest), limit }).map(toLabelledManifest),
  }
}

type UnlabelledRow = Omit<UnlabelledManifest, 'digest'> & { digest: Uint8Array }

function toLabelledManifest(row: UnlabelledRow): UnlabelledManifest {
  return { ...row, digest: digestFromBytes(row.digest) }
}

/** Reads of tags. `now` is milliseconds since 1970; expired tags are left out. */
export function tagReads(db: Db, { find }: Pick<RepositoryReads, 'find'>) {
  const { page, byName, ofManifest } = tagStatements(db)
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

function tagStatements(db: Db) {
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
function storedAsOf(row: Pick<StoredTag, 'digest' | 'storedAs'>, digest: Digest): Digest {
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
