import type { Metadata } from '../metadata/metadata.ts'
import type { Digest } from '../oci/digest.ts'
import { readParts } from '../oci/manifest-parts.ts'
import type { RepositoryName } from '../oci/reference.ts'
import { UpstreamError } from './upstream/upstream-error.ts'

/** Larger manifests are not read, because that would hold up other requests. The upstream is asked instead. */
const MANIFEST_BYTES_MAX = 256 * 1024

/** Returns the size of a blob that a manifest of the repository states. */
export function findNamedSize(
  metadata: Metadata,
  repository: RepositoryName,
  digest: Digest,
): number | undefined {
  for (const storedAs of metadata.cache.naming(repository, digest, MANIFEST_BYTES_MAX)) {
    const bytes = metadata.manifests.findBytes(storedAs)
    const { config, layers, children } = readParts(bytes ?? new Uint8Array())
    const part = [...(config ? [config] : []), ...layers, ...children].find((one) => one.digest === digest)
    if (part !== undefined && part.size > 0) return part.size
  }
  return undefined
}

/** Returns the error for an upstream that states another size than the manifest. */
export function otherSize(upstream: string, digest: Digest, size: number, named: number): UpstreamError {
  return new UpstreamError('wrong', `${upstream} says ${digest} has ${size} bytes, and its manifest ${named}`)
}
