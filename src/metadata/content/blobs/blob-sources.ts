import { sql } from 'drizzle-orm'
import type { RepositorySet } from '../../../domain/repository-set.ts'
import type { Digest } from '../../../oci/digest.ts'
import type { RepositoryName } from '../../../oci/reference.ts'
import type { Db } from '../../database.ts'
import { number, statement, text } from '../../statement.ts'
import type { RepositoryReads } from '../repositories/repositories.ts'

/** How many links, and how many repositories of the caller, one search examines. */
const LINKS_MAX = 256
const REPOSITORIES_MAX = 256

interface Link {
  blobId: number
  repository: RepositoryName
  isVisible: number
}

/**
 * Finds a repository that holds a blob among those that a caller may pull from. A blob that the caller may not see costs
 * as much as one that does not exist: the same number of links is read, whichever blobs they are of.
 */
export function blobSources(
  db: Db,
  { list }: Pick<RepositoryReads, 'list'>,
  { findId }: { findId: (digest: Digest) => number | undefined },
) {
  const linksFrom = statement(
    db,
    { blobId: number, limit: number },
    ({ blobId, limit }) => sql<Link>`
      select link.blob_id as blobId, repository.name as repository,
      link.deleted_at is null and repository.deleted_at is null as isVisible
      from repository_blob link cross join repository on repository.id = link.repository_id
      where link.blob_id >= ${blobId} order by link.blob_id, link.repository_id limit ${limit}`,
  )
  const linked = statement(
    db,
    { blobId: number, ids: text },
    ({ blobId, ids }) => sql<{ id: number }>`
      select value as id from json_each(${ids}) cross join repository_blob link
      on link.blob_id = ${blobId} and link.repository_id = value where link.deleted_at is null limit 1`,
  )
  const findLink = (blobId: number, from: number, limit: number, set: RepositorySet) => {
    const links = linksFrom.all({ blobId: from, limit })
    const shown = links.filter((link) => set.has(link.repository))
    const found = shown.find((link) => link.blobId === blobId && link.isVisible === 1)
    return { found: found?.repository, count: links.length }
  }
  return {
    /**
     * Returns undefined when there is none; never throws. If more repositories hold the blob than one search
     * examines, it may miss some that the caller may pull from.
     */
    findSource(digest: Digest, set: RepositorySet): RepositoryName | undefined {
      const blobId = findId(digest) ?? 0
      const { found, count } = findLink(blobId, blobId, LINKS_MAX, set)
      if (found !== undefined) return found
      findLink(blobId, 0, LINKS_MAX - count, set)
      const { rows } = list(set, '', REPOSITORIES_MAX)
      const ids = JSON.stringify(rows.map(({ id }) => id))
      const id = linked.get({ blobId, ids })?.id
      return rows.find((row) => row.id === id)?.name
    },
  }
}
