import { and, eq, isNull, type Placeholder, sql } from 'drizzle-orm'
import { type Digest, digestFromBytes, digestToBytes } from '../../../oci/digest.ts'
import type { Reference, RepositoryName } from '../../../oci/reference.ts'
import type { Db } from '../../database.ts'
import { selectBy } from '../../rows.ts'
import { manifest, manifestBytes, manifestDigest, repository, tag } from '../../schema/schema.ts'
import { bytes, number, statement, text } from '../../statement.ts'
import { isTagAt, storedAsOf } from '../tags/listed-tag.ts'

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
