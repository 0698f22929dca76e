import { registryError } from '../../../oci/error.ts'
import type { RepositoryName } from '../../../oci/reference.ts'
import type { UpstreamSet } from '../../../proxy/upstream/upstream-set.ts'

/** Throws REQUEST_INVALID for a repository of an upstream. `what` is the reason in the message. */
export type OnlyLocal = (repository: RepositoryName, what: string) => void

/** Returns the check of acts that need a repository whose content was pushed. */
export function onlyLocal(upstreams: UpstreamSet): OnlyLocal {
  return (repository, what) => {
    const upstream = upstreams.of(repository)
    if (upstream === undefined) return
    throw registryError(
      'REQUEST_INVALID',
      `${repository} is cached from ${upstream.name}: ${what}. To fetch it again, evict it and then pull it`,
    )
  }
}
