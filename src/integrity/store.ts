import { and, asc, count, desc, eq, gt, isNull, sql } from 'drizzle-orm'
import type { Db } from '../database/database.ts'
import { CONTENT_STALE, type ReadTotal } from '../database/operation.ts'
import {
  blob,
  blobBytes,
  damagedContent,
  manifest,
  manifestBytes,
  manifestReference,
  repository,
  repositoryBlob,
  tag,
} from '../database/schema.ts'
import { bytes, deleteBy, insertNew, number, selectBy, statement, updateBy } from '../database/statement.ts'
import type { DropLink } from '../garbage/store.ts'
import { type Digest, digestFromBytes, digestToBytes, type RepositoryName } from '../oci/reference.ts'
import type { Rows } from '../registry/store.ts'

declare module '../database/metadata.ts' {
  interface Reads {
    damage: ReturnType<typeof damageReads>
  }
  interface Operations extends ReturnType<typeof damageWrites> {}
}

/** How much damaged content is recorded. More of it is only logged. */
const DAMAGE_MAX = 100_000

/** How much of it is listed. */
const LISTED_MAX = 1000

/** How many repositories and tags are listed of damaged content. */
const NEEDED_BY_MAX = 100

export type ContentKind = 'blob' | 'manifest'

/** Content whose bytes are damaged, missing or unreadable. */
export interface Damage {
  digest: Digest
  kind: ContentKind
  size: number
  /** Milliseconds since 1970. */
  foundAt: number
}

/** A repository that needs damaged content, with a tag that leads to it, if there is one. */
export interface NeededBy {
  repository: RepositoryName
  tag: string | null
}

/** Damage when it is found, at a time in milliseconds since 1970. */
type FoundDamage = Pick<Damage, 'digest' | 'size'> & { at: number }

/** A manifest to verify. */
export interface StoredManifest {
  id: number
  digest: Digest
  size: number
  repository: RepositoryName
  isCached: boolean
}

/** The state of the verification: the last verified ids, and when this pass began, in milliseconds since 1970. */
export interface ScrubCursor {
  blob: number
  manifest: number
  startedAt: number
}

/** Reads for the verification of content. */
export function damageReads(db: Db, total: ReadTotal) {
  const manifests = statement(db, { after: number, limit: number }, ({ after, limit }) =>
    db
      .select({
        id: manifest.id,
        digest: manifest.digest,
        size: manifest.size,
        repository: repository.name,
        isCached: sql<number>`${manifest.usedAt} is not null`,
      })
      .from(manifest)
      .innerJoin(repository, eq(repository.id, manifest.repositoryId))
      .where(gt(manifest.id, after))
      .orderBy(asc(manifest.id))
      .limit(limit),
  )
  const blobs = statement(db, { after: number, limit: number }, ({ after, limit }) =>
    db
      .select({ id: blob.id, digest: blob.digest, size: blob.size, isCached: blob.isCached })
      .from(blob)
      .where(gt(blob.id, after))
      .orderBy(asc(blob.id))
      .limit(limit),
  )
  const newest = statement(db, {}, () =>
    db.select().from(damagedContent).orderBy(desc(damagedContent.foundAt)).limit(LISTED_MAX),
  )
  const ofKind = selectBy(db, damagedContent, 'kind')
  const byDigest = selectBy(db, damagedContent, 'digest')
  const users = { blob: usersOfBlob(db), manifest: usersOfManifest(db) }
  return {
    /** The newest first. */
    list: (): Damage[] => newest.all({}).map((row) => ({ ...row, digest: digestFromBytes(row.digest) })),

    /** Returns the digests of all damaged blobs. */
    blobDigests: (): Digest[] => ofKind.all({ kind: 'blob' }).map(({ digest }) => digestFromBytes(digest)),

    /** Returns the size in bytes that a damaged blob should have. */
    sizeOf: (digest: Digest): number | undefined => byDigest.get({ digest: digestToBytes(digest) })?.size,

    count: countDamage(db),

    /** Returns the repositories and tags that need content: at most NEEDED_BY_MAX. */
    neededBy: ({ digest, kind }: Pick<Damage, 'digest' | 'kind'>): NeededBy[] =>
      users[kind].all({ digest: digestToBytes(digest) }) as NeededBy[],

    blobs: (after: number, limit: number) =>
      blobs.all({ after, limit }).map((row) => ({ ...row, digest: digestFromBytes(row.digest) })),

    manifests: (after: number, limit: number): StoredManifest[] =>
      manifests.all({ after, limit }).map((row) => ({
        ...row,
        digest: digestFromBytes(row.digest),
        repository: row.repository as RepositoryName,
        isCached: row.isCached === 1,
      })),

    cursor: (): ScrubCursor => ({
      blob: total('scrub.blob'),
      manifest: total('scrub.manifest'),
      startedAt: total('scrub.started'),
    }),
  }
}

function countDamage(db: Db): () => number {
  const counted = statement(db, {}, () => db.select({ n: count() }).from(damagedContent))
  return () => counted.get({})?.n ?? 0
}

const needed = { repository: repository.name, tag: tag.name }

const usersOfBlob = (db: Db) =>
  statement(db, { digest: bytes }, ({ digest }) =>
    db
      .selectDistinct(needed)
      .from(manifestReference)
      .innerJoin(manifest, and(eq(manifest.id, manifestReference.manifestId), isNull(manifest.deletedAt)))
      .innerJoin(repository, eq(repository.id, manifest.repositoryId))
      .leftJoin(tag, eq(tag.manifestId, manifest.id))
      .where(and(eq(manifestReference.digest, digest), isNull(repository.deletedAt)))
      .limit(NEEDED_BY_MAX),
  )

const usersOfManifest = (db: Db) =>
  statement(db, { digest: bytes }, ({ digest }) =>
    db
      .selectDistinct(needed)
      .from(manifest)
      .innerJoin(repository, eq(repository.id, manifest.repositoryId))
      .leftJoin(tag, eq(tag.manifestId, manifest.id))
      .where(and(eq(manifest.digest, digest), isNull(manifest.deletedAt), isNull(repository.deletedAt)))
      .limit(NEEDED_BY_MAX),
  )

/** Writes for the verification of content, each for one call of the writer. */
export function damageWrites(db: Db, { setTotal }: Rows, drop: DropLink) {
  const verified = updateBy(db, blob, ['verifiedAt'], 'id')
  const links = statement(db, { digest: bytes }, ({ digest }) =>
    db
      .select({ repositoryId: repositoryBlob.repositoryId, blobId: repositoryBlob.blobId })
      .from(repositoryBlob)
      .innerJoin(blob, eq(blob.id, repositoryBlob.blobId))
      .where(and(eq(blob.digest, digest), eq(repositoryBlob.isCached, true))),
  )
  const healed = deleteBy(db, damagedContent, 'digest')
  return {
    ...quarantineWrites(db),

    /** Records which blobs were verified, and where the verification continues. */
    noteVerified({ ids, at, cursor }: { ids: number[]; at: number; cursor: ScrubCursor }): void {
      for (const id of ids) verified.run({ id, verifiedAt: at })
      setTotal('scrub.blob', cursor.blob)
      setTotal('scrub.manifest', cursor.manifest)
      setTotal('scrub.started', cursor.startedAt)
    },

    /** Removes a cached blob from every repository, so that the next pull fetches it again. */
    dropDamagedBlob({ digest }: { digest: Digest }) {
      const gone = links.all({ digest: digestToBytes(digest) }).flatMap(drop)
      return { ...CONTENT_STALE, isGone: gone.length > 0 }
    },

    /** Removes the record of content that has good bytes again. */
    noteHealed({ digests }: { digests: Digest[] }): void {
      for (const digest of digests) healed.run({ digest: digestToBytes(digest) })
    },
  }
}

function quarantineWrites(db: Db) {
  const counted = countDamage(db)
  const insert = insertNew(db, damagedContent)
  const removeBlob = statement(db, { digest: bytes }, ({ digest }) =>
    db.delete(blobBytes).where(sql`blob_id = (select id from blob where digest = ${digest})`),
  )
  const ofManifest = selectBy(db, manifestBytes, 'digest')
  const anyManifest = statement(db, { digest: bytes }, ({ digest }) =>
    db.select({ id: manifest.id }).from(manifest).where(eq(manifest.digest, digest)).limit(1),
  )
  const removeManifest = deleteBy(db, manifestBytes, 'digest')
  const record = (row: typeof damagedContent.$inferInsert) => {
    if (counted() < DAMAGE_MAX) insert.run(row)
  }
  return {
    /** Records a damaged blob, and removes its bytes from the database if they are there. */
    quarantineBlob({ digest: named, size, at }: FoundDamage) {
      const digest = digestToBytes(named)
      record({ digest, kind: 'blob', size, foundAt: at })
      removeBlob.run({ digest })
      return CONTENT_STALE
    },

    /**
     * Records a damaged manifest and removes its bytes, unless it was collected or pushed again since they were read.
     *
     * @param bytes the bytes that were read; undefined if there were none
     */
    quarantineManifest(call: FoundDamage & { bytes: Uint8Array | undefined }) {
      const { size, at, bytes: read } = call
      const digest = digestToBytes(call.digest)
      const here = ofManifest.get({ digest })?.bytes
      const isSame = here === undefined ? read === undefined : read !== undefined && here.equals(read)
      if (!isSame || anyManifest.get({ digest }) === undefined) return { ...CONTENT_STALE, isDamaged: false }
      record({ digest, kind: 'manifest', size, foundAt: at })
      removeManifest.run({ digest })
      return { ...CONTENT_STALE, isDamaged: true }
    },
  }
}
