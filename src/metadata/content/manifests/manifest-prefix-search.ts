import { sql } from 'drizzle-orm'
import type { RepositorySet } from '../../../domain/repository-set.ts'
import { type Digest, type DigestRange, digestFromBytes } from '../../../oci/digest.ts'
import type { RepositoryName } from '../../../oci/reference.ts'
import { turn } from '../../../turn.ts'
import type { Db } from '../../database.ts'
import { bytes, number, statement } from '../../statement.ts'
import { type Part, readPart } from '../repositories/visible-pages.ts'

/** A manifest of some repository. */
export interface FoundManifest {
  repository: RepositoryName
  digest: Digest
  mediaType: string
  artifactType: string | null
  /** Bytes. */
  size: number
}

/** A place in the order of digests, and of repositories of one digest. */
interface Key {
  digest: Uint8Array
  repositoryId: number
}

/** Parts that one search reads. One digest can be in very many repositories that the caller may not see. */
const PARTS_MAX = 64

/** Returns the search for manifests whose digest is in a range, in all repositories of a set. */
export function manifestPrefixSearch(db: Db) {
  // What is deleted is left out below, so that each read looks at a bounded number of rows.
  const manifests = statement(
    db,
    { digest: bytes, repositoryId: number, high: bytes, limit: number },
    ({ digest, repositoryId, high, limit }) =>
      sql<StoredManifest>`select m.digest, m.repository_id as "repositoryId", m.media_type as "mediaType",
          m.artifact_type as "artifactType", m.size, r.name,
          (m.deleted_at is not null or r.deleted_at is not null) as "isDeleted"
        from manifest m cross join repository r on r.id = m.repository_id
        where (m.digest, m.repository_id) > (${digest}, ${repositoryId}) and m.digest <= ${high}
        order by m.digest, m.repository_id limit ${limit}`,
  )
  return async (
    set: RepositorySet,
    { low, high, size }: DigestRange,
    limit: number,
  ): Promise<{ rows: FoundManifest[]; hasMore: boolean }> => {
    const walk = {
      read: (after: Key, limit: number) => manifests.all({ ...after, high, limit }),
      keyOf: ({ digest, repositoryId }: StoredManifest) => ({ digest, repositoryId }),
      isShown: ({ digest, isDeleted, name }: StoredManifest) =>
        isDeleted === 0 && digest.length === size && set.has(name),
    }
    const rows: FoundManifest[] = []
    let after: Key | undefined = { digest: low, repositoryId: 0 }
    for (let parts = 0; parts < PARTS_MAX && after !== undefined && rows.length < limit; parts++) {
      const part: Part<StoredManifest, Key> = readPart(walk, after, limit - rows.length)
      rows.push(...part.rows.map(toFoundManifest))
      after = part.next
      await turn()
    }
    return { rows, hasMore: after !== undefined }
  }
}

interface StoredManifest extends Pick<FoundManifest, 'mediaType' | 'artifactType' | 'size'> {
  digest: Buffer
  repositoryId: number
  name: RepositoryName
  isDeleted: number
}

function toFoundManifest(row: StoredManifest): FoundManifest {
  const { digest, name, mediaType, artifactType, size } = row
  return { repository: name, digest: digestFromBytes(digest), mediaType, artifactType, size }
}
