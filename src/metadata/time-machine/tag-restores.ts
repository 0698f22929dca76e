import { type Digest, digestFromBytes, digestToBytes } from '../../oci/digest.ts'
import { registryError } from '../../oci/error.ts'
import type { TagMoves } from '../content/tags/tag-moves.ts'
import type { BeginTagWrite, TagWrite } from '../content/tags/tag-writes.ts'
import type { RecordEvent } from '../events.ts'
import type { RestoreContent } from './content-restore.ts'
import { checkTime, type Restore } from './restore.ts'
import { type PastTag, restoredEnd, type TagLines } from './tag-lines.ts'

/** What a tag is restored to: an earlier digest, or its target at a time, in milliseconds since 1970. */
export type TagState = { digest: Digest } | { at: number }

/** Writes that restore tags, each for one call of the writer. */
export function tagRestores({
  recordEvent,
  tags,
  lines,
  revive,
  begin,
}: {
  recordEvent: RecordEvent
  tags: TagMoves
  lines: TagLines
  revive: RestoreContent
  begin: BeginTagWrite
}) {
  const wantedOf = (repositoryId: number, call: TagWrite & Restore, to: TagState): PastTag => {
    const current = tags.find(repositoryId, call.tag, call.at)
    if ('digest' in to) {
      const digest = digestToBytes(to.digest)
      if (current?.digest.equals(digest)) return current
      const last = lines.lastAt(repositoryId, call.tag, digest, call.windowStart)
      if (last) return { digest, expiresAt: restoredEnd(last.state, last.leftAt, call.at) }
      throw registryError(
        'MANIFEST_UNKNOWN',
        `the tag "${call.tag}" has not pointed at ${to.digest} within the undo window`,
      )
    }
    checkTime(to.at, call)
    const past = lines.stateAt(repositoryId, call.tag, to.at)
    if (past === undefined && current !== undefined) return current
    if (past) return { digest: past.digest, expiresAt: restoredEnd(past, to.at, call.at) }
    const time = new Date(to.at).toISOString()
    throw registryError('MANIFEST_UNKNOWN', `the tag "${call.tag}" did not exist at ${time}`)
  }

  return {
    /**
     * Points a tag where it pointed before, and restores that manifest if it was deleted. Returns the digest. Throws
     * NAME_UNKNOWN, MANIFEST_UNKNOWN, DENIED, and REQUEST_INVALID for a time outside the undo window.
     */
    restoreTag(call: TagWrite & Restore & { to: TagState }): { stale: 'content'; digest: Digest } {
      const repositoryId = begin(call)
      const { caller, at, repository, tag } = call
      const wanted = wantedOf(repositoryId, call, call.to)
      const digest = digestFromBytes(wanted.digest)
      const revived = revive(repositoryId, wanted.digest, call)
      if (revived === undefined)
        throw registryError('MANIFEST_UNKNOWN', `${digest} is no longer in ${repository}`)
      if (revived.wasHidden) recordEvent({ type: 'manifest.restore', repository, digest }, caller, at)
      tags.move(repositoryId, tag, revived.id, {
        caller,
        at,
        digest,
        expiresAt: wanted.expiresAt,
        act: 'tag.restore',
      })
      recordEvent({ type: 'tag.restore', repository, tag, digest }, caller, at)
      return { stale: 'content', digest }
    },
  }
}
