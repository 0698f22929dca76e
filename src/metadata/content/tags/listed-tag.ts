import { eq, gt, isNull, or, type SQL } from 'drizzle-orm'
import { type Digest, digestFromBytes } from '../../../oci/digest.ts'
import type { Tag } from '../../../oci/reference.ts'
import type { Db } from '../../database.ts'
import { manifest, tag } from '../../schema/schema.ts'

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
export function selectTags(db: Db) {
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

export function toTag(row: StoredTag): TagRow {
  const digest = digestFromBytes(row.digest)
  return { ...row, name: row.name as Tag, digest, storedAs: storedAsOf(row, digest) }
}

/** Returns the digest that bytes are stored under as text; `digest` is the text of the row's digest. */
export function storedAsOf(row: Pick<StoredTag, 'digest' | 'storedAs'>, digest: Digest): Digest {
  return row.storedAs.equals(row.digest) ? digest : digestFromBytes(row.storedAs)
}
