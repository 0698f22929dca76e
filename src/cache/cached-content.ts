import { and, eq, isNotNull, type Placeholder, sql } from 'drizzle-orm'
import { SYSTEM } from '../access/access.ts'
import type { Db } from '../database/database.ts'
import type { Stale } from '../database/operation.ts'
import { manifest, manifestReference, repository, tag } from '../database/schema.ts'
import { bytes, number, statement, text, updateBy } from '../database/statement.ts'
import { type Digest, digestToBytes } from '../oci/digest.ts'
import type { Manifest } from '../oci/manifest.ts'
import type { RepositoryName, Tag } from '../oci/reference.ts'
import type { LinkedBlob, Rows } from '../registry/store.ts'

declare module '../database/metadata.ts' {
  interface Operations extends ReturnType<typeof cacheWrites> {}
}

/** A manifest that an upstream has sent; its digest is verified. */
export interface CachedManifestPut {
  at: number
  repository: RepositoryName
  digest: Digest
  sha256: Digest
  /** The tag that was requested. */
  tag: Tag | undefined
  manifest: Omit<Manifest, 'annotations'>
  bytes: Uint8Array<ArrayBuffer>
  /** The labels that a search finds, as far as they are known yet. */
  labels: readonly string[]
}

/** Content that was used: a manifest, or every manifest that references a blob. */
export interface Use {
  repository: RepositoryName
  digest: Digest
  isBlob: boolean
  /** Milliseconds since 1970. */
  at: number
}

/** A tag that its upstream confirmed. */
export interface TagCheck {
  repository: RepositoryName
  tag: Tag
  at: number
}

/** Writes of content from upstreams, each for one call of the writer. */
export function cacheWrites(db: Db, rows: Rows) {
  const { recordEvent, repositories, manifests, references, labels, reach, linkBlob } = rows
  const follow = followTag(db, rows)
  const marks = useMarks(db)
  return {
    /** Stores a manifest of an upstream, whichever of its blobs are stored, and points the tag at it. */
    cacheManifest(call: CachedManifestPut): { stale: Stale | undefined } {
      const { at, repository, digest } = call
      const repositoryId = repositories.ensureCached(repository, at)
      if (repositoryId === undefined) return { stale: undefined }
      const put = {
        ...call,
        caller: SYSTEM,
        tags: call.tag === undefined ? [] : [call.tag],
        optionalRoles: [],
        usedAt: at,
      }
      const stored = manifests.put(repositoryId, put)
      if (stored.inserted) references.insert(repositoryId, stored.id, call.manifest.references)
      references.markUsed(repositoryId, stored.id)
      labels.put(repositoryId, stored.id, call.labels)
      if (stored.appeared) {
        reach.appeared(stored.id)
        recordEvent({ type: 'manifest.cache', repository, digest }, SYSTEM, at)
      }
      const isMoved = call.tag !== undefined && follow(repositoryId, call, call.tag, stored.id)
      return { stale: stored.replaced || isMoved ? 'content' : undefined }
    },

    /** Links a blob of an upstream into repositories. */
    linkCached(call: LinkedBlob & { at: number; repositories: RepositoryName[] }): void {
      for (const repository of call.repositories) {
        const repositoryId = repositories.ensureCached(repository, call.at)
        if (repositoryId !== undefined) linkBlob(repositoryId, call, call.at, true)
      }
    },

    /** Records when cached content was last used. */
    touchCached({ uses }: { uses: Use[] }): void {
      for (const { repository, digest, isBlob, at } of uses) {
        const values = { name: repository, digest: digestToBytes(digest), at }
        if (isBlob) marks.naming.run(values)
        else marks.manifest.run(values)
      }
    },

    /** Records when upstreams last confirmed tags. */
    noteChecks({ checks }: { checks: TagCheck[] }): void {
      for (const { repository, tag, at } of checks) marks.checked.run({ name: repository, tag, at })
    },
  }
}

/** Points a tag to where it points at the upstream; a pushed tag stays as it is. Returns whether the tag moved. */
function followTag(db: Db, { recordEvent, tags }: Rows) {
  const setChecked = updateBy(db, tag, ['checkedAt'], 'repositoryId', 'name')
  return (
    repositoryId: number,
    { at, digest, repository }: CachedManifestPut,
    name: Tag,
    manifestId: number,
  ) => {
    const before = tags.find(repositoryId, name, at)
    if (before?.checkedAt === null) return false
    if (before?.manifestId === manifestId && before.digest.equals(digestToBytes(digest))) {
      setChecked.run({ repositoryId, name, checkedAt: at })
      return false
    }
    const target = { manifestId, digest: digestToBytes(digest), expiresAt: null, checkedAt: at }
    tags.put(repositoryId, name, target, before, { caller: SYSTEM, at, act: 'tag.follow' })
    recordEvent({ type: 'tag.follow', repository, tag: name, digest }, SYSTEM, at)
    return before !== undefined
  }
}

function useMarks(db: Db) {
  const idOf = (name: Placeholder) =>
    sql`(select id from ${repository} where name = ${name} and deleted_at is null)`
  const use = (at: Placeholder) => db.update(manifest).set({ usedAt: sql`max(${manifest.usedAt}, ${at})` })
  const used = { name: text, digest: bytes, at: number }
  return {
    manifest: statement(db, used, ({ name, digest, at }) =>
      use(at).where(
        and(
          eq(manifest.digest, digest),
          isNotNull(manifest.usedAt),
          sql`${manifest.repositoryId} = ${idOf(name)}`,
        ),
      ),
    ),
    naming: statement(db, used, ({ name, digest, at }) =>
      use(at).where(
        and(
          sql`${manifest.id} in (select ${manifestReference.manifestId} from ${manifestReference}
            where ${manifestReference.digest} = ${digest}
            and ${manifestReference.repositoryId} = ${idOf(name)})`,
          isNotNull(manifest.usedAt),
        ),
      ),
    ),
    checked: statement(db, { name: text, tag: text, at: number }, (seen) =>
      db
        .update(tag)
        .set({ checkedAt: sql`${seen.at}` })
        .where(
          and(
            sql`${tag.repositoryId} = ${idOf(seen.name)}`,
            eq(tag.name, seen.tag),
            isNotNull(tag.checkedAt),
          ),
        ),
    ),
  }
}
