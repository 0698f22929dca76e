import { digestFromBytes } from '../../oci/digest.ts'
import { registryError } from '../../oci/error.ts'
import type { Tag } from '../../oci/reference.ts'
import type { RepositoryReads } from '../content/repositories.ts'
import type { TagMoves } from '../content/tag-moves.ts'
import type { RecordEvent } from '../events.ts'
import { partTime } from '../part-time.ts'
import { CONTENT_STALE, type Parts } from '../stale.ts'
import type { RestoreContent } from './content-restore.ts'
import { checkTime, type Restore } from './restore.ts'
import { type PastTag, restoredEnd, type TagLines } from './tag-lines.ts'

/** What a rewind did with the tags that had moved. */
export interface Rewound {
  /** Tags that point at where they did. */
  restored: number
  /** Tags that were not there, and are gone again. */
  removed: number
  /** Tags that stay, for what they pointed at has been collected. */
  lost: number
}

/** Goes back in time with a whole repository, some tags at a time. */
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
     * Brings every tag of a repository back to where it was at a time, with the manifests; only tags that have moved
     * since are touched. This can be undone in the same way. What ends it in the middle leaves a part done: the same call
     * does the rest.
     * Throws NAME_UNKNOWN, DENIED (409) where tags are immutable, and REQUEST_INVALID for a time outside of the window.
     */
    *rewindRepository(call: Restore & { to: number }): Parts<typeof CONTENT_STALE & Rewound> {
      const { repository, caller, at, to } = call
      const repositoryId = find(repository)
      if (repositoryId === undefined) throw registryError('NAME_UNKNOWN')
      checkTime(to, call)
      while (tags.expireSome(repositoryId, at)) yield CONTENT_STALE
      const done = { restored: 0, removed: 0, lost: 0 }
      // A tag that may not be moved ends the rewind, so before it all is done in one part.
      let isOver = partTime()
      // Removals come first, so that no part passes a quota that the whole does not pass.
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
