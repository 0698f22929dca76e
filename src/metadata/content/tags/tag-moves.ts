import { type Condition, holds } from '../../../domain/access/condition.ts'
import { type Digest, digestFromBytes, digestToBytes } from '../../../oci/digest.ts'
import { registryError } from '../../../oci/error.ts'
import type { Tag } from '../../../oci/reference.ts'
import { CONTENT_STALE, type Parts } from '../../stale.ts'
import { checkVersion } from '../../versions.ts'
import { partTime } from '../../writer/part-time.ts'
import type { Immutability } from './immutability.ts'
import type { Move, TagNow, TagRows } from './tag-rows.ts'

/** The new target of a tag, and when the tag expires. */
export interface Target extends Move {
  digest: Digest
  /** Milliseconds since 1970. */
  expiresAt?: number | null | undefined
}

/** The condition of a write on a tag: on its version or, in requests about its manifest, on its digest. */
export interface TagExpectation {
  condition?: Condition | undefined
  precondition?: Condition | undefined
  at: number
}

/** How many tags are read at once. */
const TAGS_READ = 200

export type TagMoves = ReturnType<typeof tagMoves>

/** Moves and deletes tags, within the repository's rules of immutability. */
export function tagMoves(rows: TagRows, { rulesOf, isImmutable, refuseImmutable }: Immutability) {
  const remove = (repositoryId: number, name: Tag, move: Move, isDecided = false): boolean => {
    const row = rows.find(repositoryId, name, move.at)
    if (row === undefined) return false
    if (!isDecided) refuseImmutable(repositoryId, name, row)
    rows.remove(repositoryId, name, row, move)
    return true
  }
  return {
    /** Finds a tag that has not expired. */
    find: rows.find,

    /** Throws 412 when the tag does not meet the condition. */
    check(repositoryId: number, name: Tag, { precondition, condition, at }: TagExpectation): void {
      if (precondition === undefined && condition === undefined) return
      const found = rows.find(repositoryId, name, at)
      checkVersion(`the tag ${name}`, found?.version, condition)
      if (precondition !== undefined) checkDigest(name, found, precondition)
    },

    /**
     * Points the tag at a manifest until `expiresAt`. The expiry of an existing immutable tag can only be extended.
     * Returns whether cached data about the tag is stale. Throws DENIED (409) when the tag points elsewhere and is
     * immutable.
     */
    move(repositoryId: number, name: Tag, manifestId: number, target: Target): boolean {
      const digest = digestToBytes(target.digest)
      const { caller, at, act, expiresAt = null } = target
      const before = rows.find(repositoryId, name, at)
      if (before?.manifestId === manifestId && before.digest.equals(digest) && before.checkedAt === null) {
        if (before.expiresAt === expiresAt) return false
        // Expiry is a deletion. Otherwise, pushing the same manifest again could make an immutable tag expire.
        if (isSooner(expiresAt, before.expiresAt) && isImmutable(repositoryId, name)) return false
        rows.setEnd(repositoryId, name, expiresAt)
        return true
      }
      if (before !== undefined) refuseImmutable(repositoryId, name, before)
      rows.put(repositoryId, name, { manifestId, digest, expiresAt }, before, { caller, at, act })
      return before !== undefined
    },

    /** Deletes the tag. Returns whether it existed. Throws DENIED (409) when it is immutable. */
    remove: (repositoryId: number, name: Tag, move: Move): boolean => remove(repositoryId, name, move),

    /** Sets when the tag in `row` expires; null is never. Throws DENIED (409) when it is immutable. */
    setEnd(repositoryId: number, name: Tag, row: TagNow, expiresAt: number | null): void {
      if (expiresAt !== null) refuseImmutable(repositoryId, name, row)
      rows.setEnd(repositoryId, name, expiresAt)
    },

    /** Reports whether some tags of the repository are immutable. */
    hasImmutable: (repositoryId: number): boolean => rulesOf(repositoryId) !== undefined,

    ...manyTags(rows, { remove, rulesOf, refuseImmutable }),
  }
}

interface Removal {
  remove: (repositoryId: number, name: Tag, move: Move, isDecided?: boolean) => boolean
  rulesOf: Immutability['rulesOf']
  refuseImmutable: Immutability['refuseImmutable']
}

/** Moves many tags, some at a time. */
function manyTags(rows: TagRows, { remove, rulesOf, refuseImmutable }: Removal) {
  const removeUntil = (
    isOver: () => boolean,
    repositoryId: number,
    manifestId: number,
    move: Move,
  ): boolean => {
    for (;;) {
      const names = rows.pointingAt(manifestId, TAGS_READ)
      for (const name of names) {
        if (isOver()) return true
        remove(repositoryId, name, move, true)
      }
      if (names.length < TAGS_READ) return false
    }
  }
  return {
    /**
     * Deletes some of the tags that point at the manifest. Returns whether there are more. If any of them is
     * immutable, throws DENIED (409) and deletes none.
     */
    removeSome(repositoryId: number, manifestId: number, move: Move): boolean {
      const isOver = partTime()
      const ruleOf = rulesOf(repositoryId)
      if (ruleOf !== undefined) {
        for (const name of rows.pointingAt(manifestId)) {
          const row = ruleOf(name) && rows.find(repositoryId, name, move.at)
          if (row) refuseImmutable(repositoryId, name, row)
        }
      }
      return removeUntil(isOver, repositoryId, manifestId, move)
    },

    /** Deletes more of the tags, even if the repository has become immutable since `removeSome`. */
    removeRest: (repositoryId: number, manifestId: number, move: Move): boolean =>
      removeUntil(partTime(), repositoryId, manifestId, move),

    /** Reports whether a tag points at the manifest. */
    isTagged: (manifestId: number): boolean => rows.pointingAt(manifestId, 1).length > 0,

    /** Removes a repository's expired tags, some at a time. */
    *expire(repositoryId: number, at: number): Parts<void> {
      let isOver = partTime()
      for (const expired of rows.expired(at)) {
        if (isOver()) {
          yield CONTENT_STALE
          isOver = partTime()
        }
        if (expired.repositoryId === repositoryId) rows.find(repositoryId, expired.name, at)
      }
    },
  }
}

function checkDigest(name: Tag, found: TagNow | undefined, expected: Condition): void {
  const digest = found && digestFromBytes(found.digest)
  if (holds(expected, digest)) return
  const state = digest === undefined ? 'does not exist' : `is at ${digest}`
  throw registryError('DENIED', `the tag "${name}" ${state}, which the request's condition excludes`, {
    status: 412,
    ...(digest === undefined ? {} : { headers: { etag: `"${digest}"` } }),
  })
}

/** Reports whether one expiry is before another; null is never. */
function isSooner(end: number | null, other: number | null): boolean {
  return end !== null && (other === null || end < other)
}
