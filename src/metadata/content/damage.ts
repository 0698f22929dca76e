import { and, asc, eq, gt, inArray, isNull, sql } from 'drizzle-orm'
import { type Digest, digestFromBytes, digestToBytes } from '../../oci/digest.ts'
import type { RepositoryName } from '../../oci/reference.ts'
import type { Db } from '../database.ts'
import type { DropLink } from '../garbage/blob-collection.ts'
import { damagedContent } from '../schema/damage-schema.ts'
import {
  blob,
  blobBytes,
  manifest,
  manifestBytes,
  manifestReference,
  repository,
  repositoryBlob,
  tag,
  total,
} from '../schema/schema.ts'
import { bytes, number, statement } from '../statement.ts'

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

/** The names in the table `total` of the state of the verification, which is kept over restarts. */
const CURSORS = { blob: 'scrub.blob', manifest: 'scrub.manifest', startedAt: 'scrub.started' } as const

/** The state of the verification: the last verified ids, and when this pass began, in milliseconds since 1970. */
export type ScrubCursor = Record<keyof typeof CURSORS, number>

/** Reads for the verification of content. */
export function damageReads(db: Db) {
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
  return {
    /** Returns damaged content, the newest first. */
    list: (): Damage[] =>
      db
        .select()
        .from(damagedContent)
        .orderBy(sql`found_at desc`)
        .limit(LISTED_MAX)
        .all()
        .map((row) => ({ ...row, digest: digestFromBytes(row.digest) })),

    /** Returns the digests of all damaged blobs. */
    blobDigests: (): Digest[] => damagedBlobs(db),

    /** Returns the size in bytes that a damaged blob should have. */
    sizeOf: (digest: Digest): number | undefined => damagedSize(db, digest),

    count: (): number => countDamage(db),

    /** Returns the repositories and tags that need content: at most NEEDED_BY_MAX. */
    neededBy: ({ digest, kind }: Pick<Damage, 'digest' | 'kind'>): NeededBy[] =>
      (kind === 'blob' ? usersOfBlob(db, digest) : usersOfManifest(db, digest)) as NeededBy[],

    blobs: (after: number, limit: number) =>
      blobs.all({ after, limit }).map((row) => ({ ...row, digest: digestFromBytes(row.digest) })),

    manifests: (after: number, limit: number): StoredManifest[] =>
      manifests.all({ after, limit }).map((row) => ({
        ...row,
        digest: digestFromBytes(row.digest),
        repository: row.repository as RepositoryName,
        isCached: row.isCached === 1,
      })),

    cursor: () => readCursor(db),
  }
}

function countDamage(db: Db): number {
  const [counted] = db.select({ n: sql<number>`count(*)` }).from(damagedContent).all()
  return counted?.n ?? 0
}

function damagedBlobs(db: Db): Digest[] {
  const rows = db
    .select({ digest: damagedContent.digest })
    .from(damagedContent)
    .where(eq(damagedContent.kind, 'blob'))
    .limit(DAMAGE_MAX)
    .all()
  return rows.map(({ digest }) => digestFromBytes(digest))
}

function damagedSize(db: Db, digest: Digest): number | undefined {
  const named = eq(damagedContent.digest, digestToBytes(digest))
  return db.select().from(damagedContent).where(named).get()?.size
}

function readCursor(db: Db): ScrubCursor {
  const rows = db
    .select()
    .from(total)
    .where(inArray(total.name, Object.values(CURSORS)))
    .all()
  const find = (name: string) => rows.find((row) => row.name === name)?.value ?? 0
  return { blob: find(CURSORS.blob), manifest: find(CURSORS.manifest), startedAt: find(CURSORS.startedAt) }
}

function usersOfBlob(db: Db, digest: Digest) {
  return db
    .selectDistinct({ repository: repository.name, tag: tag.name })
    .from(manifestReference)
    .innerJoin(manifest, and(eq(manifest.id, manifestReference.manifestId), isNull(manifest.deletedAt)))
    .innerJoin(repository, eq(repository.id, manifest.repositoryId))
    .leftJoin(tag, eq(tag.manifestId, manifest.id))
    .where(and(eq(manifestReference.digest, digestToBytes(digest)), isNull(repository.deletedAt)))
    .limit(NEEDED_BY_MAX)
    .all()
}

function usersOfManifest(db: Db, digest: Digest) {
  return db
    .selectDistinct({ repository: repository.name, tag: tag.name })
    .from(manifest)
    .innerJoin(repository, eq(repository.id, manifest.repositoryId))
    .leftJoin(tag, eq(tag.manifestId, manifest.id))
    .where(
      and(
        eq(manifest.digest, digestToBytes(digest)),
        isNull(manifest.deletedAt),
        isNull(repository.deletedAt),
      ),
    )
    .limit(NEEDED_BY_MAX)
    .all()
}

/** Writes for the verification of content, each for one call of the writer. */
export function damageWrites(db: Db, { drop }: { drop: DropLink }) {
  const verified = statement(db, { id: number, at: number }, ({ id, at }) =>
    db
      .update(blob)
      .set({ verifiedAt: sql`${at}` })
      .where(eq(blob.id, id)),
  )
  const links = statement(db, { digest: bytes }, ({ digest }) =>
    db
      .select({ repositoryId: repositoryBlob.repositoryId, blobId: repositoryBlob.blobId })
      .from(repositoryBlob)
      .innerJoin(blob, eq(blob.id, repositoryBlob.blobId))
      .where(and(eq(blob.digest, digest), eq(repositoryBlob.isCached, true))),
  )
  return {
    ...quarantineWrites(db),

    /** Records which blobs were verified, and where the verification continues. */
    noteVerified({ ids, at, cursor }: { ids: number[]; at: number; cursor: ScrubCursor }): void {
      for (const id of ids) verified.run({ id, at })
      for (const [key, name] of Object.entries(CURSORS)) {
        const value = cursor[key as keyof typeof CURSORS]
        db.insert(total)
          .values({ name, value })
          .onConflictDoUpdate({ target: total.name, set: { value } })
          .run()
      }
    },

    /** Removes a cached blob from every repository, so that the next pull fetches it again. */
    dropDamagedBlob({ digest }: { digest: Digest }): { stale: 'content'; isGone: boolean } {
      const gone = links.all({ digest: digestToBytes(digest) }).flatMap((link) => drop(link))
      return { stale: 'content', isGone: gone.length > 0 }
    },

    /** Removes the record of content that has good bytes again. */
    noteHealed({ digests }: { digests: Digest[] }): void {
      for (const digest of digests) {
        db.delete(damagedContent)
          .where(eq(damagedContent.digest, digestToBytes(digest)))
          .run()
      }
    },
  }
}

function quarantineWrites(db: Db) {
  const record = (row: typeof damagedContent.$inferInsert) => {
    if (countDamage(db) < DAMAGE_MAX) db.insert(damagedContent).values(row).onConflictDoNothing().run()
  }
  return {
    /** Records a damaged blob, and removes its bytes from the database if they are there. */
    quarantineBlob({ digest, size, at }: FoundDamage): { stale: 'content' } {
      const named = digestToBytes(digest)
      record({ digest: named, kind: 'blob', size, foundAt: at })
      db.delete(blobBytes).where(sql`blob_id = (select id from blob where digest = ${named})`).run()
      return { stale: 'content' }
    },

    /**
     * Records a damaged manifest and removes its bytes, unless it was collected or pushed again since they were read.
     *
     * @param bytes the bytes that were read; undefined if there were none
     */
    quarantineManifest({ digest, size, at, bytes: read }: FoundDamage & { bytes: Uint8Array | undefined }): {
      stale: 'content'
      isDamaged: boolean
    } {
      const named = digestToBytes(digest)
      const content = eq(manifestBytes.digest, named)
      const [here] = db.select({ bytes: manifestBytes.bytes }).from(manifestBytes).where(content).all()
      const isSame = here === undefined ? read === undefined : read !== undefined && here.bytes.equals(read)
      const isStored = db.select().from(manifest).where(eq(manifest.digest, named)).limit(1).all().length > 0
      if (!isSame || !isStored) return { stale: 'content', isDamaged: false }
      record({ digest: named, kind: 'manifest', size, foundAt: at })
      db.delete(manifestBytes).where(content).run()
      return { stale: 'content', isDamaged: true }
    },
  }
}
