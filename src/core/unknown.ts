import type { Metadata } from '../metadata/metadata.ts'
import { type RegistryError, registryError } from '../oci/error.ts'
import type { RepositoryName } from '../oci/reference.ts'

/** NAME_UNKNOWN for a repository. */
export function unknownRepository(repository: RepositoryName): RegistryError {
  return registryError('NAME_UNKNOWN', `there is no repository ${repository}`, {
    detail: { name: repository },
  })
}

/** What a look-up that found nothing says: that the repository is missing, or else what was looked for. */
export function unknownIn(
  metadata: Metadata,
  repository: RepositoryName,
  otherwise: RegistryError,
): RegistryError {
  return metadata.repositories.find(repository) === undefined ? unknownRepository(repository) : otherwise
}
