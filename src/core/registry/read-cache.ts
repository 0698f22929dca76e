import { LRUCache } from 'lru-cache'
import type { StoredManifest } from '../../domain/registry.ts'
import type { Digest } from '../../oci/digest.ts'
import type { RepositoryName } from '../../oci/reference.ts'
import type { ExpiringManifest } from './fresh-pushes.ts'

/** Blobs whose size is remembered. */
const SIZES_MAX = 50_000

/** What an entry takes beside the manifest's bytes, roughly. */
const ENTRY_BYTES = 512

/** A manifest as it was read, and since when nothing reaches it. */
export type CachedManifest = StoredManifest & { expiry?: ExpiringManifest | undefined }

/**
 * What was read lately: manifests by repository and reference, sizes of blobs by repository and digest. What is not
 * there is never remembered, so only a change of something that was there makes an entry stale; such a change
 * clears all.
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
