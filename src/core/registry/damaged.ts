import type { Metadata } from '../../metadata/metadata.ts'
import type { Digest } from '../../oci/digest.ts'
import type { BlobStore } from '../../storage/blob-store.ts'

/** How many damaged blobs are hidden from pulls. Others fail when they are pulled. */
const HIDDEN_MAX = 1000

/** The blobs whose bytes are in quarantine. They count as absent until they are pushed again. */
export class Damaged {
  private readonly digests: Set<Digest>
  private readonly blobs: BlobStore
  private readonly metadata: Pick<Metadata, 'blobBytes'>

  constructor(metadata: Pick<Metadata, 'blobBytes'>, blobs: BlobStore, digests: Digest[]) {
    this.metadata = metadata
    this.blobs = blobs
    this.digests = new Set(digests)
  }

  add(digest: Digest): void {
    if (this.digests.size < HIDDEN_MAX) this.digests.add(digest)
  }

  /** Reports whether the blob has no good bytes. Costs nothing while no blob is damaged. */
  async has(digest: Digest, size: number): Promise<boolean> {
    if (!this.digests.has(digest)) return false
    if (!(await this.hasBytes(digest, size))) return true
    this.digests.delete(digest)
    return false
  }

  /** Reports whether a blob has bytes; those that come back by a push are verified. */
  async hasBytes(digest: Digest, size: number): Promise<boolean> {
    return this.metadata.blobBytes.has(digest) || (await this.blobs.stat(digest))?.size === size
  }
}

/** Opens the set of damaged blobs that the database records. */
export async function openDamaged(metadata: Metadata, blobs: BlobStore): Promise<Damaged> {
  const recorded = await metadata.damage.list()
  const digests = recorded.filter(({ kind }) => kind === 'blob').map(({ digest }) => digest)
  return new Damaged(metadata, blobs, digests)
}
