import type { Digest } from '../../oci/digest.ts'
import type { RepositoryName } from '../../oci/reference.ts'
import type { Upstream } from '../upstream/upstream.ts'

/** What a fill fetches. */
export interface FillOrder {
  digest: Digest
  /** In bytes. */
  size: number
  upstream: Upstream
  repository: RepositoryName
}
