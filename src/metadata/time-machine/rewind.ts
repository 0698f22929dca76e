import { digestFromBytes } from '../../oci/digest.ts'
import { registryError } from '../../oci/error.ts'
import type { Tag } from '../../oci/reference.ts'
import type { RepositoryReads } from '../content/repositories/repositories.ts'
import type { TagMoves } from '../content/tags/tag-moves.ts'
import type { RecordEvent } from '../events.ts'
import { CONTENT_STALE, type Parts } from '../stale.ts'
import { partTime } from '../writer/part-time.ts'
import type { RestoreContent } from './content-restore.ts'
import { checkTime, type Restore } from './restore.ts'
import { type PastTag, restoredEnd, type TagLines } from './tag-lines.ts'

/** What a rewind did with the tags that had moved. */
export interface Rewound {
  /** Tags that were moved back. */
  restored: number
  /** Tags that did not exist at that time and were removed. */
  removed: number
  /** Tags that stay, because their manifest has been collected. */
  lost: number
}

/** Rewinds a whole repository, some tags at a time. */
export function rewinds({
  recordEvent,
  find,
  tags,
  lines,
  revive,
}: {
  recordEvent: RecordEvent
  find: RepositoryReads['find']
  tags: TagMoves
  lines: TagLines
  revive: RestoreContent
}) {
  const takeBack = (
    repositoryId: number,
    name: Tag,
    state: PastTag | null,
    call: Restore & { to: number },
  ): keyof Rewound | undefined => {
    const { caller, at } = call
    const move = { caller, at, act: 'repository.rewind' } as const
    if (state === null) return tags.remove(repositoryId, name, move) ? 'removed' : undefined
    const expiresAt = restoredEnd(state, call.to, at)
    const current = tags.find(repositoryId, name, at)
    if (current?.digest.equals(state.digest) && current.expiresAt === expiresAt) return undefined
    const revived = revive(repositoryId, state.digest, call)
    if (revived === undefined) return 'lost'
    tags.move(repositoryId, name, revived.id, { ...move, digest: digestFromBytes(state.digest), expiresAt })
    return 'restored'
  }
  return {
    /**
     * Points every tag of a repository where it pointed at a time, and restores the manifests. Only tags that have
     * moved since are changed. Another rewind undoes it. If it is interrupted, repeating the call completes it.
     * Throws NAME_UNKNOWN, DENIED (409) if tags are immutable, and REQUEST_INVALID for a time outside the undo
     * window.
     */
    *rewindRepository(call: Restore & { to: number }): Parts<typeof CONTENT_STALE & Rewound> {
      const { repository, caller, at, to } = call
      const repositoryId = find(repository)
      if (repositoryId === undefined) throw registryError('NAME_UNKNOWN')
      checkTime(to, call)
      yield* tags.expire(repositoryId, at)
      const done = { restored: 0, removed: 0, lost: 0 }
      // An immutable tag fails the rewind, so with immutable tags everything is done in one part.
      let isOver = partTime()
      // Removals come first, so that no part exceeds a quota that the whole does not.
      for (const isRemoval of [true, false]) {
        for (const { name, state } of lines.movedSince(repositoryId, to, at)) {
          if (isOver() && !tags.hasImmutable(repositoryId)) {
            yield CONTENT_STALE
            isOver = partTime()
          }
          if ((state === null) !== isRemoval) continue
          const outcome = takeBack(repositoryId, name, state, call)
          if (outcome !== undefined) done[outcome]++
        }
      }
      recordEvent({ type: 'repository.rewind', repository }, caller, at)
      return { ...CONTENT_STALE, ...done }
    },
  }
}
