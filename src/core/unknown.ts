import type { Metadata } from '../metadata/metadata.ts'
import { type RegistryError, registryError } from '../oci/error.ts'
import type { RepositoryName } from '../oci/reference.ts'

/** Returns NAME_UNKNOWN for a repository. */
export function unknownRepository(repository: RepositoryName): RegistryError {
  return registryError('NAME_UNKNOWN', `there is no repository ${repository}`, {
    detail: { name: repository },
  })
}

/** Returns the error for a failed look-up: NAME_UNKNOWN if the repository is missing, else `otherwise`. */
export function unknownIn(
  metadata: Metadata,
  repository: RepositoryName,
  otherwise: RegistryError,
): RegistryError {
  return metadata.repositories.find(repository) === undefined ? unknownRepository(repository) : otherwise
}
