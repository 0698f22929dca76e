import { and, eq, isNotNull, isNull, sql } from 'drizzle-orm'
import { type Digest, digestFromBytes, digestToBytes } from '../../oci/digest.ts'
import type { RepositoryName, Tag } from '../../oci/reference.ts'
import type { Db } from '../database.ts'
import { blob, manifest, manifestReference, repository, repositoryBlob, tag, total } from '../schema.ts'

export type CacheReads = ReturnType<typeof cacheReads>

/** Manifests that name a blob and are looked at. */
const NAMING_MAX = 8

/** Reads of what was cached. */
export function cacheReads(db: Db) {
  const { check, naming, lender, holders, totals, localNames } = statements(db)
  return {
    /** All blobs that may be evicted: their bytes, and how many they are. */
    totals(): { bytes: number; blobs: number } {
      const values = new Map(totals.all().map(({ name, value }) => [name, value]))
      return { bytes: values.get('cache.bytes') ?? 0, blobs: values.get('cache.count') ?? 0 }
    },

    /** Where a tag is here, and when its upstream was last asked; null for one that was pushed. */
    findTag(name: RepositoryName, tagName: Tag): { digest: Digest; checkedAt: number | null } | undefined {
      const row = check.get({ name, tag: tagName })
      return row && { ...row, digest: digestFromBytes(row.digest) }
    },

    /** Some manifests of a repository that name a blob, by the digest that their bytes are stored under. */
    naming: (name: RepositoryName, digest: Digest): { storedAs: Buffer }[] =>
      naming.all({ name, digest: digestToBytes(digest) }),

    /** The size of a blob that a repository of this upstream has brought. */
    findLender: (upstream: string, digest: Digest): number | undefined =>
      lender.get({ upstream, digest: digestToBytes(digest) })?.size,

    /** Whose repositories link a blob: upstreams, and undefined for what was pushed. With its size in bytes. */
    holders: (digest: Digest): { upstream: string | undefined; size: number }[] =>
      holders.all({ digest: digestToBytes(digest) }).map(({ upstream, size, isCached }) => ({
        size,
        upstream: isCached ? (upstream ?? undefined) : undefined,
      })),

    /** Some local repositories whose name begins with this component. */
    localUnder: (first: string): string[] =>
      localNames.all({ from: `${first}/`, to: `${first}0` }).map(({ name }) => name),

    /** How many cached manifests there are. */
    countManifests: (): number =>
      db.select({ count: sql<number>`count(*)` }).from(manifest).where(isNotNull(manifest.usedAt)).get()
        ?.count ?? 0,
  }
}

function statements(db: Db) {
  const named = eq(repository.name, sql.placeholder('name'))
  const inRepository = and(named, isNull(repository.deletedAt))
  const check = db
    .select({ digest: tag.digest, checkedAt: tag.checkedAt })
    .from(repository)
    .innerJoin(tag, eq(tag.repositoryId, repository.id))
    .where(and(inRepository, eq(tag.name, sql.placeholder('tag'))))
    .prepare()
  const naming = db
    .select({ storedAs: manifest.digest })
    .from(repository)
    .innerJoin(manifestReference, eq(manifestReference.repositoryId, repository.id))
    .innerJoin(manifest, eq(manifest.id, manifestReference.manifestId))
    .where(
      and(inRepository, eq(manifestReference.digest, sql.placeholder('digest')), isNull(manifest.deletedAt)),
    )
    .limit(NAMING_MAX)
    .prepare()
  const lender = db
    .select({ size: blob.size })
    .from(blob)
    .innerJoin(repositoryBlob, eq(repositoryBlob.blobId, blob.id))
    .innerJoin(repository, eq(repository.id, repositoryBlob.repositoryId))
    .where(
      and(
        eq(blob.digest, sql.placeholder('digest')),
        eq(repository.upstream, sql.placeholder('upstream')),
        eq(repositoryBlob.isCached, true),
        isNull(repositoryBlob.deletedAt),
        isNull(repository.deletedAt),
      ),
    )
    .limit(1)
    .prepare()
  const holders = db
    .selectDistinct({ upstream: repository.upstream, size: blob.size, isCached: repositoryBlob.isCached })
    .from(blob)
    .innerJoin(repositoryBlob, eq(repositoryBlob.blobId, blob.id))
    .innerJoin(repository, eq(repository.id, repositoryBlob.repositoryId))
    .where(eq(blob.digest, sql.placeholder('digest')))
    .limit(100)
    .prepare()
  const totals = db.select().from(total).prepare()
  const localNames = db
    .select({ name: repository.name })
    .from(repository)
    .where(
      and(
        sql`${repository.name} >= ${sql.placeholder('from')} and ${repository.name} < ${sql.placeholder('to')}`,
        isNull(repository.upstream),
        isNull(repository.deletedAt),
      ),
    )
    .limit(10)
    .prepare()
  return { check, naming, lender, holders, totals, localNames }
}
