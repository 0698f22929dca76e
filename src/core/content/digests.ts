import type { Principal } from '../../domain/access/principal.ts'
import type { Metadata } from '../../metadata/metadata.ts'
import { type Digest, digestRange } from '../../oci/digest.ts'
import type { RepositoryName } from '../../oci/reference.ts'
import { unknownRepository } from '../unknown.ts'

/** How many digests a search returns at most. */
const FOUND_MAX = 10

/** Finds digests by their first characters. */
export function digestService(metadata: Metadata) {
  return {
    /**
     * Returns the first digests of manifests and blobs that begin with `prefix`, in one repository or, for server admins,
     * in all. Throws DIGEST_INVALID unless the prefix has an algorithm and six hex characters.
     */
    async find(principal: Principal, prefix: string, repository?: RepositoryName): Promise<Digest[]> {
      if (repository === undefined) principal.admin('search all digests')
      else principal.pull(repository)
      const range = digestRange(prefix)
      const id = repository === undefined ? undefined : metadata.repositories.find(repository)
      if (repository !== undefined && id === undefined) throw unknownRepository(repository)
      const deleted = repository === undefined || principal.may('delete', repository)
      return (await metadata.findDigests(range, id, deleted || principal.isAdmin)).slice(0, FOUND_MAX)
    },
  }
}
