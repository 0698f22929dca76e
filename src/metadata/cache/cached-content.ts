import { and, eq, isNotNull, sql } from 'drizzle-orm'
import { SYSTEM } from '../../domain/caller.ts'
import { type Digest, digestToBytes } from '../../oci/digest.ts'
import type { Manifest } from '../../oci/manifest.ts'
import type { RepositoryName, Tag } from '../../oci/reference.ts'
import { linkBlob } from '../content/blobs.ts'
import { referenceRows } from '../content/manifest-references.ts'
import { manifestRows } from '../content/manifest-rows.ts'
import { ensureRepository } from '../content/repositories.ts'
import { tagRows } from '../content/tag-rows.ts'
import type { Db } from '../database.ts'
import { eventWrites } from '../events.ts'
import { reachability } from '../garbage/reachability.ts'
import { manifest, manifestReference, repository, tag } from '../schema.ts'
import type { Stale } from '../stale.ts'

/** A manifest that an upstream has sent; its digest is verified. */
export interface CachedManifestPut {
  at: number
  upstream: string
  repository: RepositoryName
  digest: Digest
  sha256: Digest
  /** The tag that it was asked for by. */
  tag: Tag | undefined
  manifest: Omit<Manifest, 'annotations'>
  bytes: Uint8Array<ArrayBuffer>
}

/** Something that was used: a manifest, or every manifest that names a blob. */
export interface Use {
  repository: RepositoryName
  digest: Digest
  isBlob: boolean
}

/** A tag that was the same at its upstream. */
export interface TagCheck {
  repository: RepositoryName
  tag: Tag
  at: number
}

/** Writes of what comes from upstreams, each for one call of the writer. */
export function cacheWrites(db: Db) {
  const ensure = ensureCached(db)
  const { tell } = eventWrites(db)
  const rows = manifestRows(db)
  const references = referenceRows(db)
  const reach = reachability(db)
  const link = linkBlob(db)
  const follow = followTag(db)
  const marks = useMarks(db)
  return {
    /** Stores a manifest of an upstream, whatever of its blobs is here, and has the tag follow it. */
    cacheManifest(call: CachedManifestPut): { stale: Stale | undefined } {
      const { at, repository, digest } = call
      const repositoryId = ensure(repository, call.upstream, at)
      const put = {
        ...call,
        caller: SYSTEM,
        tags: call.tag === undefined ? [] : [call.tag],
        optionalRoles: [],
        precondition: undefined,
        usedAt: at,
      }
      const stored = rows.put(repositoryId, put)
      if (stored.inserted) references.insert(repositoryId, stored.id, call.manifest.references)
      references.markUsed(repositoryId, stored.id)
      if (stored.appeared) {
        reach.appeared(stored.id)
        tell({ type: 'manifest.cache', repository, digest }, SYSTEM, at)
      }
      const isMoved = call.tag !== undefined && follow(repositoryId, call, call.tag, stored.id)
      return { stale: stored.replaced || isMoved ? 'content' : undefined }
    },

    /** Names a blob of an upstream in repositories. Its bytes are verified, on disk and synced. */
    linkCached(call: {
      at: number
      upstream: string
      repositories: RepositoryName[]
      digest: Digest
      size: number
    }): void {
      for (const repository of call.repositories) {
        link(ensure(repository, call.upstream, call.at), call.digest, call.size, call.at, true)
      }
    },

    /** Notes when cached content was last used. */
    touchCached({ at, uses }: { at: number; uses: Use[] }): void {
      for (const { repository, digest, isBlob } of uses) {
        const values = { name: repository, digest: digestToBytes(digest), at }
        if (isBlob) marks.naming.run(values)
        else marks.manifest.run(values)
      }
    },

    /** Notes when tags were last the same at their upstream. */
    noteChecks({ checks }: { checks: TagCheck[] }): void {
      for (const { repository, tag, at } of checks) marks.checked.run({ name: repository, tag, at })
    },
  }
}

/** The id of a repository that caches an upstream's; the first fetch makes it. */
function ensureCached(db: Db) {
  const ensure = ensureRepository(db)
  const mark = db
    .update(repository)
    .set({ upstream: sql`${sql.placeholder('upstream')}` })
    .where(and(eq(repository.id, sql.placeholder('id')), sql`upstream is not ${sql.placeholder('upstream')}`))
    .prepare()
  return (name: RepositoryName, upstream: string, at: number): number => {
    const id = ensure(name, at)
    mark.run({ id, upstream })
    return id
  }
}

/** Points a tag to where it is at the upstream; one that was pushed here stays. Answers whether it was elsewhere. */
function followTag(db: Db) {
  const tags = tagRows(db)
  const { tell } = eventWrites(db)
  const setChecked = db
    .update(tag)
    .set({ checkedAt: sql`${sql.placeholder('at')}` })
    .where(and(eq(tag.repositoryId, sql.placeholder('repositoryId')), eq(tag.name, sql.placeholder('name'))))
    .prepare()
  return (
    repositoryId: number,
    { at, digest, repository }: CachedManifestPut,
    name: Tag,
    manifestId: number,
  ) => {
    const before = tags.find(repositoryId, name, at)
    if (before?.checkedAt === null) return false
    if (before?.manifestId === manifestId && before.digest.equals(digestToBytes(digest))) {
      setChecked.run({ repositoryId, name, at })
      return false
    }
    const target = { manifestId, digest: digestToBytes(digest), expiresAt: null, checkedAt: at }
    tags.put(repositoryId, name, target, before, { caller: SYSTEM, at, act: 'tag.follow' })
    tell({ type: 'tag.follow', repository, tag: name, digest }, SYSTEM, at)
    return before !== undefined
  }
}

function useMarks(db: Db) {
  const ofRepository = sql`(select id from ${repository} where name = ${sql.placeholder('name')} and deleted_at is null)`
  const use = db.update(manifest).set({ usedAt: sql`max(${manifest.usedAt}, ${sql.placeholder('at')})` })
  const isOf = and(isNotNull(manifest.usedAt), sql`${manifest.repositoryId} = ${ofRepository}`)
  return {
    manifest: use.where(and(eq(manifest.digest, sql.placeholder('digest')), isOf)).prepare(),
    naming: use
      .where(
        and(
          sql`${manifest.id} in (select ${manifestReference.manifestId} from ${manifestReference}
            where ${manifestReference.digest} = ${sql.placeholder('digest')}
            and ${manifestReference.repositoryId} = ${ofRepository})`,
          isNotNull(manifest.usedAt),
        ),
      )
      .prepare(),
    checked: db
      .update(tag)
      .set({ checkedAt: sql`${sql.placeholder('at')}` })
      .where(
        and(
          sql`${tag.repositoryId} = ${ofRepository}`,
          eq(tag.name, sql.placeholder('tag')),
          isNotNull(tag.checkedAt),
        ),
      )
      .prepare(),
  }
}
