import { LRUCache } from 'lru-cache'
import type { StoredManifest } from '../../domain/registry.ts'
import type { Digest } from '../../oci/digest.ts'
import type { RepositoryName } from '../../oci/reference.ts'
import type { ExpiringManifest } from './fresh-pushes.ts'

/** How many sizes of blobs are cached. */
const SIZES_MAX = 50_000

/** The approximate overhead of a cached manifest, in bytes. */
const ENTRY_BYTES = 512

/** A cached manifest, with when it will be deleted. */
export type CachedManifest = StoredManifest & { expiry?: ExpiringManifest | undefined }

/**
 * Caches manifests by repository and reference, and sizes of blobs by repository and digest. Misses are not cached, so
 * only a change or deletion of existing content makes an entry stale, and it clears the cache.
 */
export class ReadCache {
  private readonly manifests: LRUCache<string, CachedManifest>
  private readonly sizes = new LRUCache<string, number>({ max: SIZES_MAX })

  constructor(bytesMax: number) {
    this.manifests = new LRUCache({
      maxSize: Math.max(1, bytesMax),
      maxEntrySize: Math.max(1, Math.floor(bytesMax / 8)),
      sizeCalculation: ({ bytes }) => bytes.length + ENTRY_BYTES,
    })
  }

  findManifest(repository: RepositoryName, reference: string): CachedManifest | undefined {
    return this.manifests.get(`${repository}@${reference}`)
  }

  putManifest(repository: RepositoryName, reference: string, manifest: CachedManifest): void {
    this.manifests.set(`${repository}@${reference}`, manifest)
  }

  findSize(repository: RepositoryName, digest: Digest): number | undefined {
    return this.sizes.get(`${repository}@${digest}`)
  }

  putSize(repository: RepositoryName, digest: Digest, size: number): void {
    this.sizes.set(`${repository}@${digest}`, size)
  }

  clear(): void {
    this.manifests.clear()
    this.sizes.clear()
  }
}
