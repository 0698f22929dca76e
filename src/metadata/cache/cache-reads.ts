import { and, eq, isNull, lte, type Placeholder, sql } from 'drizzle-orm'
import { type Digest, digestFromBytes, digestToBytes } from '../../oci/digest.ts'
import type { RepositoryName, Tag } from '../../oci/reference.ts'
import type { ReadTotal } from '../content/totals.ts'
import type { Db } from '../database.ts'
import { manifest, manifestReference, repository, tag } from '../schema/schema.ts'
import { bytes, number, statement, text } from '../statement.ts'

/** How many manifests that reference a blob are examined. */
const NAMING_MAX = 8

/**
 * How many links of a blob are examined, which takes some milliseconds. If none of them answers the question, the
 * blob is fetched from the upstream again.
 */
const LINKS_MAX = 1000

/** How much is stored that may be evicted. */
export interface CachedTotals {
  /** The bytes of blobs and manifests. */
  bytes: number
  /** The bytes of manifests, counted in each repository that has them. */
  manifestBytes: number
  /** The number of blobs. */
  blobs: number
}

/** Reads of cached content. */
export function cacheReads(db: Db, total: ReadTotal) {
  const { check, naming } = statements(db)
  const { lender, holders } = holderStatements(db)
  return {
    totals: (): CachedTotals => {
      const manifestBytes = total('cache.manifest_bytes')
      return { bytes: total('cache.bytes') + manifestBytes, manifestBytes, blobs: total('cache.count') }
    },

    /** Returns where a tag points, and when its upstream last confirmed it; null for a pushed one. */
    findTag(name: RepositoryName, tagName: Tag): { digest: Digest; checkedAt: number | null } | undefined {
      const row = check.get({ name, tag: tagName })
      return row && { ...row, digest: digestFromBytes(row.digest) }
    },

    /**
     * Returns some manifests of a repository that reference a blob, up to a size: the digests that their bytes are
     * stored under.
     */
    naming: (name: RepositoryName, digest: Digest, bytesMax: number): Digest[] =>
      naming.all({ name, digest: digestToBytes(digest), bytesMax }).map((row) => digestFromBytes(row.digest)),

    /** Returns the size in bytes of a blob that was cached from this upstream. */
    findLender: (upstream: string, digest: Digest): number | undefined =>
      lender.get({ upstream, digest: digestToBytes(digest) })?.size,

    /**
     * Returns the blob's size in bytes, and the upstreams whose repositories link it; undefined stands for pushed
     * content.
     */
    holders: (digest: Digest): { upstream: string | undefined; size: number }[] =>
      holders.all({ digest: digestToBytes(digest) }).map(({ upstream, size, isCached }) => ({
        size,
        upstream: isCached ? (upstream ?? undefined) : undefined,
      })),

    localUnder: localNames(db),
  }
}

function statements(db: Db) {
  const inRepository = (name: Placeholder) => and(eq(repository.name, name), isNull(repository.deletedAt))
  const check = statement(db, { name: text, tag: text }, (wanted) =>
    db
      .select({ digest: tag.digest, checkedAt: tag.checkedAt })
      .from(repository)
      .innerJoin(tag, eq(tag.repositoryId, repository.id))
      .where(and(inRepository(wanted.name), eq(tag.name, wanted.tag))),
  )
  const naming = statement(
    db,
    { name: text, digest: bytes, bytesMax: number },
    ({ name, digest, bytesMax }) =>
      db
        .select({ digest: manifest.digest })
        .from(repository)
        .innerJoin(manifestReference, eq(manifestReference.repositoryId, repository.id))
        .innerJoin(manifest, eq(manifest.id, manifestReference.manifestId))
        .where(
          and(
            inRepository(name),
            eq(manifestReference.digest, digest),
            isNull(manifest.deletedAt),
            lte(manifest.size, bytesMax),
          ),
        )
        .limit(NAMING_MAX),
  )
  return { check, naming }
}

/** Returns who links a blob, among its first links. */
function holderStatements(db: Db) {
  const links = (digest: Placeholder) => sql`(select repository_id, is_cached, deleted_at from repository_blob
    where blob_id = (select id from blob where digest = ${digest}) limit ${LINKS_MAX}) l
    join repository on repository.id = l.repository_id`
  const size = (digest: Placeholder) => sql`(select size from blob where digest = ${digest}) as size`
  const lender = statement(
    db,
    { digest: bytes, upstream: text },
    ({ digest, upstream }) => sql<{ size: number }>`select ${size(digest)} from ${links(digest)}
      where repository.upstream = ${upstream} and l.is_cached = 1
        and l.deleted_at is null and repository.deleted_at is null
      limit 1`,
  )
  const holders = statement(
    db,
    { digest: bytes },
    ({ digest }) => sql<{ upstream: string | null; size: number; isCached: number }>`
      select distinct repository.upstream as upstream, ${size(digest)}, l.is_cached as "isCached"
      from ${links(digest)} limit 100`,
  )
  return { lender, holders }
}

/** Returns some local repositories whose name begins with a component. */
export function localNames(db: Db): (first: string) => string[] {
  const names = statement(db, { from: text, to: text }, ({ from, to }) =>
    db
      .select({ name: repository.name })
      .from(repository)
      .where(
        and(
          sql`${repository.name} >= ${from} and ${repository.name} < ${to}`,
          isNull(repository.upstream),
          isNull(repository.deletedAt),
        ),
      )
      .limit(10),
  )
  return (first) => names.all({ from: `${first}/`, to: `${first}0` }).map(({ name }) => name)
}
