import { type Digest, digestFromBytes, digestToBytes } from '../../oci/digest.ts'
import { registryError } from '../../oci/error.ts'
import type { Tag } from '../../oci/reference.ts'
import type { FindManifest } from '../content/manifests/manifest-rows.ts'
import type { RepositoryReads } from '../content/repositories/repositories.ts'
import type { TagMoves } from '../content/tags/tag-moves.ts'
import type { RecordEvent } from '../events.ts'
import { CONTENT_STALE, type Parts } from '../stale.ts'
import { partTime } from '../writer/part-time.ts'
import type { RestoreContent } from './content-restore.ts'
import { type Restore, tooLongAgo } from './restore.ts'
import { restoredEnd, type TagLines } from './tag-lines.ts'

/** Writes that restore deleted manifests, each for one call of the writer. */
export function manifestRestores({
  recordEvent,
  find,
  findManifest,
  tags,
  lines,
  revive,
}: {
  recordEvent: RecordEvent
  find: RepositoryReads['find']
  findManifest: FindManifest
  tags: TagMoves
  lines: TagLines
  revive: RestoreContent
}) {
  return {
    /**
     * Restores a manifest with the tags that were deleted with it, unless they exist again. Returns these tags.
     * Changes nothing if the manifest exists. If the process ended between two parts, a rewind restores the other
     * tags. Throws NAME_UNKNOWN or MANIFEST_UNKNOWN.
     */
    *restoreManifest(call: Restore & { digest: Digest }): Parts<typeof CONTENT_STALE & { tags: Tag[] }> {
      const { caller, at, repository, digest } = call
      const repositoryId = find(repository)
      if (repositoryId === undefined) throw registryError('NAME_UNKNOWN')
      const row = findManifest(repositoryId, digestToBytes(digest))
      if (row === undefined)
        throw registryError(
          'MANIFEST_UNKNOWN',
          `${repository} has no manifest ${digest}, and none that can be restored`,
        )
      if (row.deletedAt === null) return { ...CONTENT_STALE, tags: [] }
      const { deletedAt } = row
      if (revive(repositoryId, digestToBytes(digest), call) === undefined)
        throw registryError('MANIFEST_UNKNOWN', `${digest} ${tooLongAgo(deletedAt, call)}`)
      recordEvent({ type: 'manifest.restore', repository, digest }, caller, at)
      const restored: Tag[] = []
      let isOver = partTime()
      for (const gone of lines.goneWith(repositoryId, deletedAt)) {
        if (isOver()) {
          yield CONTENT_STALE
          isOver = partTime()
        }
        const found = findManifest(repositoryId, gone.state.digest)
        const isOfThis = found?.id === row.id && found.deletedAt === null
        if (!isOfThis || tags.find(repositoryId, gone.name, at) !== undefined) continue
        const { digest: own } = gone.state
        const expiresAt = restoredEnd(gone.state, deletedAt, at)
        const target = {
          caller,
          at,
          digest: digestFromBytes(own),
          expiresAt,
          act: 'manifest.restore',
        } as const
        tags.move(repositoryId, gone.name, row.id, target)
        restored.push(gone.name)
      }
      return { ...CONTENT_STALE, tags: restored }
    },
  }
}
