import type { Write } from '../../../domain/access/caller.ts'
import type { Condition } from '../../../domain/access/condition.ts'
import { type Digest, digestToBytes } from '../../../oci/digest.ts'
import { registryError } from '../../../oci/error.ts'
import type { Reference, RepositoryName } from '../../../oci/reference.ts'
import type { RecordEvent } from '../../events.ts'
import type { Reachability } from '../../garbage/reachability.ts'
import { CONTENT_STALE, type Parts, type Stale } from '../../stale.ts'
import { checkVersion } from '../../versions.ts'
import type { EnsureRepository, RepositoryReads } from '../repositories/repositories.ts'
import type { TagMoves } from '../tags/tag-moves.ts'
import type { LabelRows } from './labels.ts'
import type { ManifestPut } from './manifest-put.ts'
import type { ReferenceRows } from './manifest-references.ts'
import type { ManifestRows, StoredRow } from './manifest-rows.ts'

export interface ManifestDelete extends Write {
  repository: RepositoryName
  reference: Reference
  /** The condition on the digest of the tag. */
  precondition?: Condition | undefined
}

interface Means {
  recordEvent: RecordEvent
  find: RepositoryReads['find']
  ensure: EnsureRepository
  tags: TagMoves
  rows: ManifestRows
  references: ReferenceRows
  labels: LabelRows
  reach: Reachability
}

/** Writes of manifests and their tags, each for one call of the writer. */
export function manifestWrites(means: Means) {
  const { recordEvent, ensure, tags, rows, references, labels, reach } = means
  /** A shorter path for new images, which list no manifests. Most pushes are of this kind. */
  const markReached = (
    repositoryId: number,
    stored: StoredRow,
    { digest, sha256, manifest }: ManifestPut,
  ) => {
    if (!stored.inserted || manifest.references.some(({ role }) => role === 'child')) {
      return reach.appeared(stored.id)
    }
    reach.subjectCame(repositoryId, [...new Set([digest, sha256])].map(digestToBytes))
  }
  return {
    /**
     * Stores a manifest and points its tags at it. Returns whether cached data is stale. Throws MANIFEST_BLOB_UNKNOWN
     * with one entry for each of the first 100 references that the repository lacks, and DENIED (409) for a tag that
     * cannot be moved.
     */
    putManifest(call: ManifestPut): { stale: Stale | undefined } {
      const repositoryId = ensure.local(call.repository, call.at)
      for (const name of call.tags) tags.check(repositoryId, name, call)
      const unused = references.check(repositoryId, call)
      const stored = rows.put(repositoryId, call)
      if (stored.inserted) {
        references.insert(repositoryId, stored.id, call.manifest.references)
        references.use(repositoryId, unused)
      } else references.markUsed(repositoryId, stored.id)
      labels.put(repositoryId, stored.id, call.labels)
      if (stored.appeared) markReached(repositoryId, stored, call)
      let replaced = stored.replaced
      const { caller, at, digest, expiresAfterSeconds } = call
      const expiresAt = expiresAfterSeconds === undefined ? null : at + expiresAfterSeconds * 1000
      const target = { caller, at, digest, expiresAt, act: 'manifest.push' } as const
      for (const name of call.tags) {
        if (tags.move(repositoryId, name, stored.id, target)) replaced = true
      }
      if (stored.appeared && call.tags.length === 0) reach.untagged(stored.id, call.at)
      const change = { type: 'manifest.push', repository: call.repository, digest: call.digest } as const
      for (const name of call.tags) recordEvent({ ...change, tag: name }, call.caller, call.at)
      if (call.tags.length === 0) recordEvent(change, call.caller, call.at)
      return { stale: replaced ? 'content' : undefined }
    },

    deleteManifest: manifestDeletion(means),
  }
}

/** Deletes a manifest and the tags that point at it, or one tag. Throws NAME_UNKNOWN or MANIFEST_UNKNOWN. */
function manifestDeletion(means: Means) {
  const { recordEvent, find, tags } = means
  const hide = manifestHiding(means)
  return function* deleteManifest(call: ManifestDelete): Parts<typeof CONTENT_STALE> {
    const repositoryId = find(call.repository)
    if (repositoryId === undefined) throw registryError('NAME_UNKNOWN')
    const { digest, tag } = call.reference
    if (tag === undefined) return yield* hide(repositoryId, digest, call)
    tags.check(repositoryId, tag, call)
    if (!tags.remove(repositoryId, tag, { caller: call.caller, at: call.at, act: 'tag.delete' })) {
      throw registryError('MANIFEST_UNKNOWN', `${call.repository} has no tag "${tag}"`)
    }
    recordEvent({ type: 'tag.delete', repository: call.repository, tag }, call.caller, call.at)
    return CONTENT_STALE
  }
}

function manifestHiding({ recordEvent, tags, rows, reach }: Means) {
  /** The deletions that are between two of their parts: the ids of manifests, and when each was deleted. */
  const unfinished = new Map<number, number>()
  return function* hide(
    repositoryId: number,
    digest: Digest,
    call: ManifestDelete,
  ): Parts<typeof CONTENT_STALE> {
    const found = rows.find(repositoryId, digestToBytes(digest))
    if (found === undefined) throw registryError('MANIFEST_UNKNOWN')
    const { id, deletedAt } = found
    // If the process ended between two parts of a deletion, repeating the call removes the remaining tags.
    const isGone = deletedAt !== null && (unfinished.get(id) === deletedAt || !tags.isTagged(id))
    if (isGone) throw registryError('MANIFEST_UNKNOWN')
    const { caller, repository } = call
    const at = deletedAt ?? call.at
    const move = { caller, at, act: 'manifest.delete' } as const
    try {
      if (deletedAt === null) {
        checkVersion(`the manifest ${digest}`, found.version, call.condition)
        rows.hide(id, at)
        reach.vanished(id, at)
        recordEvent({ type: 'manifest.delete', repository, digest }, caller, at)
        if (!tags.removeSome(repositoryId, id, move)) return CONTENT_STALE
        unfinished.set(id, at)
        yield CONTENT_STALE
      }
      unfinished.set(id, at)
      // A push that restores the manifest meanwhile counts as later than the deletion, so its tags stay.
      const isDeleted = () => rows.find(repositoryId, digestToBytes(digest))?.deletedAt === at
      while (isDeleted() && tags.removeRest(repositoryId, id, move)) yield CONTENT_STALE
      return CONTENT_STALE
    } finally {
      if (unfinished.get(id) === at) unfinished.delete(id)
    }
  }
}
