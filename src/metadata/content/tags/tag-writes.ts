import type { Write } from '../../../domain/access/caller.ts'
import { type Digest, digestFromBytes, digestToBytes } from '../../../oci/digest.ts'
import { registryError } from '../../../oci/error.ts'
import type { RepositoryName, Tag } from '../../../oci/reference.ts'
import type { RecordEvent } from '../../events.ts'
import type { FindManifest } from '../manifests/manifest-rows.ts'
import type { RepositoryReads } from '../repositories/repositories.ts'
import type { TagMoves } from './tag-moves.ts'

/** The last millisecond that RFC 3339 can express. */
const LAST_TIME = Date.UTC(9999, 11, 31, 23, 59, 59, 999)

export interface TagWrite extends Write {
  repository: RepositoryName
  tag: Tag
}

/** Changes of tags apart from pushes, each for one call of the writer. */
export function tagWrites({
  recordEvent,
  tags,
  findManifest,
  begin,
}: {
  recordEvent: RecordEvent
  tags: TagMoves
  findManifest: FindManifest
  begin: BeginTagWrite
}) {
  return {
    /** Points a tag at a manifest of the repository. Throws NAME_UNKNOWN, MANIFEST_UNKNOWN, DENIED (409, 412). */
    putTag(call: TagWrite & { digest: Digest }): { stale: 'content'; isNew: boolean } {
      const repositoryId = begin(call)
      const { caller, at, digest, repository, tag } = call
      const found = findManifest(repositoryId, digestToBytes(digest))
      if (found === undefined || found.deletedAt !== null)
        throw registryError('MANIFEST_UNKNOWN', `${repository} has no manifest ${digest}`)
      const isNew = tags.find(repositoryId, tag, at) === undefined
      const isOther = tags.move(repositoryId, tag, found.id, { caller, at, digest, act: 'tag.put' })
      if (isNew || isOther) recordEvent({ type: 'tag.put', repository, tag, digest }, caller, at)
      return { stale: 'content', isNew }
    },

    /**
     * Sets when a tag expires: a time in the future, or null for never. Throws NAME_UNKNOWN, MANIFEST_UNKNOWN,
     * DENIED, REQUEST_INVALID.
     */
    expireTag(call: TagWrite & { expiresAt: number | null }): { stale: 'content' } {
      const repositoryId = begin(call)
      const { caller, at, repository, tag, expiresAt } = call
      if (expiresAt !== null && expiresAt <= at)
        throw registryError(
          'REQUEST_INVALID',
          'expiresAt must be in the future; to expire the tag now, delete it',
        )
      if (expiresAt !== null && expiresAt > LAST_TIME)
        throw registryError('REQUEST_INVALID', 'expiresAt must be before the year 10000, or null for never')
      const row = tags.find(repositoryId, tag, at)
      if (row === undefined) throw registryError('MANIFEST_UNKNOWN', `${repository} has no tag "${tag}"`)
      if (row.expiresAt === expiresAt) return { stale: 'content' }
      tags.setEnd(repositoryId, tag, row, expiresAt)
      recordEvent({ type: 'tag.change', repository, tag, digest: digestFromBytes(row.digest) }, caller, at)
      return { stale: 'content' }
    },
  }
}

/**
 * Begins every write of a tag: checks the condition and returns the repository's id. Throws NAME_UNKNOWN, or DENIED
 * (412).
 */
export type BeginTagWrite = (call: TagWrite) => number

export function tagWriteBeginning(find: RepositoryReads['find'], tags: TagMoves): BeginTagWrite {
  return (call) => {
    const repositoryId = find(call.repository)
    if (repositoryId === undefined)
      throw registryError('NAME_UNKNOWN', `there is no repository ${call.repository}`)
    tags.check(repositoryId, call.tag, call)
    return repositoryId
  }
}
