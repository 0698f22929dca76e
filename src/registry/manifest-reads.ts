import { and, asc, eq, gt, isNull, type Placeholder, type SQL, sql } from 'drizzle-orm'
import type { Db } from '../database/database.ts'
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
import { type Digest, digestFromBytes, digestToBytes } from '../oci/digest.ts'
import type { Reference, RepositoryName, Tag } from '../oci/reference.ts'
import { isTagAt, storedAsOf } from './tag-reads.ts'

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
    ({ id, limit }) => sql<StoredManifest>`select ${columns}
      from manifest m join repository r on r.id = m.repository_id
      where m.id <= ${id} order by m.id desc limit ${limit}`,
  )
  const configured = statement(
    db,
    { name: text, digest: bytes, limit: number },
    ({ name, digest, limit }) => sql<StoredManifest>`select ${columns}
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

type StoredManifest = Omit<UnlabelledManifest, 'digest'> & { digest: Uint8Array }

function toLabelledManifest(row: StoredManifest): UnlabelledManifest {
  return { ...row, digest: digestFromBytes(row.digest) }
}
