import { sql } from 'drizzle-orm'
import type { Write } from '../../domain/access/caller.ts'
import type { Condition } from '../../domain/access/condition.ts'
import { type Digest, digestToBytes } from '../../oci/digest.ts'
import { registryError } from '../../oci/error.ts'
import { formatReference, type Reference, type RepositoryName, type Tag } from '../../oci/reference.ts'
import type { FindManifest } from '../content/manifests/manifest-rows.ts'
import type { RepositoryReads } from '../content/repositories/repositories.ts'
import type { RepositoryRows } from '../content/repositories/repository-writes.ts'
import type { TagMoves } from '../content/tags/tag-moves.ts'
import type { Db } from '../database.ts'
import { manifestReference } from '../schema/schema.ts'
import { bytes, number, statement } from '../statement.ts'
import { checkVersion } from '../versions.ts'
import { within } from '../writer/part-time.ts'
import { addRemoved, type Evicted, type Evictions, nothingEvicted } from './eviction.ts'

/** How many manifests and links of a repository one write removes. */
const ROWS_MAX = 200

interface Parts extends Evictions {
  find: RepositoryReads['find']
  findManifest: FindManifest
  check: TagMoves['check']
  repositories: Pick<RepositoryRows, 'find'>
}

/** Writes that remove cached content on request. They are synced, because rows must be removed before bytes. */
export function cacheDeletionWrites(db: Db, parts: Parts) {
  const { recordEvent, find, findManifest, drop, dropLoose, evictOne, removeRepository, candidates, check } =
    parts
  const evictTag = tagEvictions(db, parts)
  return {
    /**
     * Evicts one manifest with its tags, or one tag. With its last tag, a manifest is evicted too, unless another
     * manifest references it. Throws NAME_UNKNOWN, MANIFEST_UNKNOWN or PRECONDITION_FAILED.
     */
    evictReference(
      call: Write & {
        repository: RepositoryName
        reference: Reference
        precondition?: Condition | undefined
      },
    ): Evicted {
      const { at, caller, repository, reference } = call
      const repositoryId = find(repository)
      if (repositoryId === undefined)
        throw registryError('NAME_UNKNOWN', `there is no repository ${repository}`)
      const unknown = () =>
        registryError('MANIFEST_UNKNOWN', `${repository} has no ${formatReference(reference)} in the cache`)
      if (reference.tag !== undefined) {
        check(repositoryId, reference.tag, call)
        const gone = evictTag(repositoryId, reference.tag, call)
        if (gone === undefined) throw unknown()
        return addRemoved(nothingEvicted(), gone)
      }
      const found = findManifest(repositoryId, digestToBytes(reference.digest))
      const row = found && candidates.byId.get({ id: found.id })
      if (row === undefined) throw unknown()
      checkVersion(`the manifest ${reference.digest}`, found?.version, call.condition)
      return addRemoved(nothingEvicted(), evictOne(row, { at, before: at, caller }))
    },

    /**
     * Evicts a part of what is cached in a repository. The last part also removes the repository's row. Throws
     * NAME_UNKNOWN or PRECONDITION_FAILED.
     */
    evictRepository({ at, caller, repository, condition }: Write & { repository: RepositoryName }): Evicted {
      const found = parts.repositories.find.get({ name: repository })
      checkVersion(`the repository ${repository}`, found?.version, condition)
      if (found === undefined) throw registryError('NAME_UNKNOWN', `there is no repository ${repository}`)
      const asked = { repositoryId: found.id, limit: ROWS_MAX }
      const evicted = nothingEvicted()
      const rows = candidates.inRepository.all(asked)
      const taken = within(rows, (row) => {
        if (!candidates.isThere(row.id)) return
        addRemoved(evicted, evictOne(row, { at, before: at, caller }))
      })
      const links = taken < rows.length ? [] : candidates.linksOf.all(asked)
      const dropped = within(links, (link) => addRemoved(evicted, { blobs: drop(link) }))
      const isPart = taken < rows.length || dropped < links.length || rows.length + links.length >= ROWS_MAX
      evicted.more = isPart && find(repository) !== undefined
      if (evicted.more) return evicted
      removeRepository(found.id)
      recordEvent({ type: 'repository.delete', repository }, caller, at)
      return evicted
    },

    /** Removes the link of a cached blob that was deleted, or whose bytes are missing. */
    unlinkCached({ repository, digest }: { repository: RepositoryName; digest: Digest }): Evicted {
      const link = candidates.link.get({ name: repository, digest: digestToBytes(digest) })
      return addRemoved(nothingEvicted(), { blobs: link === undefined ? [] : dropLoose(link) })
    },
  }
}

/** Evicts a tag, and its manifest if nothing else references it. Returns undefined if there is no such tag. */
function tagEvictions(db: Db, { recordEvent, tags, evictOne, candidates }: Evictions) {
  const listing = statement(db, { digest: bytes, repositoryId: number }, ({ digest, repositoryId }) =>
    db
      .select({ id: manifestReference.manifestId })
      .from(manifestReference)
      .where(
        sql`${manifestReference.digest} = ${digest} and ${manifestReference.repositoryId} = ${repositoryId}`,
      )
      .limit(1),
  )
  const isNamed = ({ id, digest, repositoryId }: { id: number; digest: Buffer; repositoryId: number }) =>
    tags.pointingAt(id, 1).length > 0 || listing.get({ digest, repositoryId }) !== undefined
  return (
    repositoryId: number,
    tag: Tag,
    { at, caller, repository }: Write & { repository: RepositoryName },
  ) => {
    const found = tags.find(repositoryId, tag, at)
    if (found === undefined) return undefined
    tags.remove(repositoryId, tag, found, { caller, at, act: 'cache.evict' })
    recordEvent({ type: 'cache.evict', repository, tag }, caller, at)
    const row = candidates.byId.get({ id: found.manifestId })
    if (row === undefined || isNamed(row)) return { blobs: [] }
    return evictOne(row, { at, before: at, caller })
  }
}
