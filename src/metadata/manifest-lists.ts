import { and, asc, desc, eq, isNull, lt, sql } from 'drizzle-orm'
import { type Digest, digestFromBytes } from '../oci/digest.ts'
import type { Tag } from '../oci/reference.ts'
import type { Db } from './database.ts'
import { manifest, tag } from './schema.ts'
import { isTagAt } from './tags.ts'

/** A manifest as a list shows it. Times are milliseconds since 1970. */
export interface ManifestEntry {
  id: number
  digest: Digest
  /** The digest that its bytes are stored under. */
  storedAs: Buffer
  mediaType: string
  artifactType: string | null
  size: number
  pushedAt: number
  deletedAt: number | null
  /** Since when nothing reaches it, after a tag, an index or a subject did. */
  unreferencedAt: number | null
  /** Since when it is here while nothing ever reached it. */
  untaggedAt: number | null
}

/** The manifest before a page of those that are deleted. */
export interface DeletedCursor {
  deletedAt: number
  id: number
}

export type ManifestListReads = ReturnType<typeof manifestListReads>

/** Reads of many manifests of one repository, by its id. */
export function manifestListReads(db: Db) {
  const columns = {
    id: manifest.id,
    storedAs: manifest.digest,
    mediaType: manifest.mediaType,
    artifactType: manifest.artifactType,
    size: manifest.size,
    pushedAt: manifest.pushedAt,
    deletedAt: manifest.deletedAt,
    unreferencedAt: manifest.unreferencedAt,
    untaggedAt: manifest.untaggedAt,
  }
  const ofRepository = eq(manifest.repositoryId, sql.placeholder('repositoryId'))
  const page = db
    .select(columns)
    .from(manifest)
    .where(and(ofRepository, isNull(manifest.deletedAt), lt(manifest.id, sql.placeholder('before'))))
    .orderBy(desc(manifest.id))
    .limit(sql.placeholder('limit'))
    .prepare()
  // By the index of what is deleted, which is short; the `+` keeps SQLite from that of the repository.
  const deleted = db
    .select(columns)
    .from(manifest)
    .where(
      sql`+${manifest.repositoryId} = ${sql.placeholder('repositoryId')} and ${manifest.deletedAt} is not null
        and (${manifest.deletedAt}, ${manifest.id}) < (${sql.placeholder('deletedAt')}, ${sql.placeholder('id')})`,
    )
    .orderBy(desc(manifest.deletedAt), desc(manifest.id))
    .limit(sql.placeholder('limit'))
    .prepare()
  const byId = db
    .select(columns)
    .from(manifest)
    .where(eq(manifest.id, sql.placeholder('id')))
    .prepare()
  const tags = db
    .select({ name: tag.name })
    .from(tag)
    .where(and(eq(tag.manifestId, sql.placeholder('id')), isTagAt(sql`${sql.placeholder('now')}`)))
    .orderBy(asc(tag.name))
    .limit(sql.placeholder('limit'))
    .prepare()
  return {
    /** At most `limit` manifests that were first pushed before the one with this id, newest first. */
    list: (repositoryId: number, before: number, limit: number): ManifestEntry[] =>
      page.all({ repositoryId, before, limit }).map(entry),

    /** At most `limit` manifests that are deleted, after the cursor, the one that was deleted last first. */
    listDeleted: (repositoryId: number, cursor: DeletedCursor, limit: number): ManifestEntry[] =>
      deleted.all({ repositoryId, ...cursor, limit }).map(entry),

    /** The manifest of an id that was just found. */
    find(id: number): ManifestEntry | undefined {
      const row = byId.get({ id })
      return row && entry(row)
    },

    /** At most `limit` tags that point at a manifest, in byte order. */
    tagsOf: (id: number, now: number, limit: number): Tag[] =>
      tags.all({ id, now, limit }).map(({ name }) => name as Tag),
  }
}

function entry<T extends { storedAs: Buffer }>(row: T): T & { digest: Digest } {
  return { ...row, digest: digestFromBytes(row.storedAs) }
}
