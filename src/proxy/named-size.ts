import type { Metadata } from '../metadata/metadata.ts'
import type { Digest } from '../oci/digest.ts'
import { readParts } from '../oci/manifest-parts.ts'
import type { RepositoryName } from '../oci/reference.ts'

/** The size of a blob as a manifest of the repository says it. */
export function findNamedSize(
  metadata: Metadata,
  repository: RepositoryName,
  digest: Digest,
): number | undefined {
  for (const row of metadata.cache.naming(repository, digest)) {
    const bytes = metadata.manifests.findBytes(row)
    const { config, layers, children } = readParts(bytes ?? new Uint8Array())
    const part = [...(config ? [config] : []), ...layers, ...children].find((one) => one.digest === digest)
    if (part !== undefined && part.size > 0) return part.size
  }
  return undefined
}
