import type { Metadata } from '../../metadata/metadata.ts'
import type { Digest } from '../../oci/digest.ts'
import type { BlobStore } from '../../storage/blob-store.ts'

/** How many damaged blobs are hidden. A pull of any other one fails while it is read. */
const HIDDEN_MAX = 100_000

/** The blobs that are recorded as damaged. They count as absent until they have good bytes again. */
export class Damaged {
  private readonly digests: Set<Digest>
  /** Those whose damaged file is still in place, so that a file of the right size proves nothing. */
  private readonly unmoved = new Set<Digest>()
  private readonly blobs: BlobStore
  private readonly metadata: Pick<Metadata, 'blobBytes' | 'write'>

  constructor(metadata: Pick<Metadata, 'blobBytes' | 'write'>, blobs: BlobStore, digests: Digest[]) {
    this.metadata = metadata
    this.blobs = blobs
    this.digests = new Set(digests)
  }

  /** Hides a blob with a damaged file until the file is moved and the blob pushed again, or until it is healed. */
  addUnmoved(digest: Digest): void {
    if (this.digests.size >= HIDDEN_MAX) return
    this.digests.add(digest)
    this.unmoved.add(digest)
  }

  /** Hides a blob whose bytes are missing, until it has good ones. */
  hide(digest: Digest): void {
    if (this.digests.size < HIDDEN_MAX) this.digests.add(digest)
  }

  /** Records that the damaged file was moved. A file that appears later comes from a push and is verified. */
  noteMoved(digest: Digest): void {
    this.unmoved.delete(digest)
  }

  /** Returns the blobs whose damaged files are still in place. */
  listUnmoved(): Digest[] {
    return [...this.unmoved]
  }

  /** Stops hiding a blob, because its bytes are good. Does no work while no blob is damaged. */
  async heal(digest: Digest): Promise<void> {
    if (!this.digests.delete(digest)) return
    this.unmoved.delete(digest)
    await this.metadata.write('noteHealed', { digests: [digest] })
  }

  /** Reports whether the blob is recorded as damaged, and no good bytes have been found since. */
  isHidden(digest: Digest): boolean {
    return this.digests.has(digest)
  }

  /** Reports whether the blob is damaged. Does no work while no blob is damaged. */
  async has(digest: Digest, size: number): Promise<boolean> {
    if (!this.digests.has(digest)) return false
    if (!(await this.hasBytes(digest, size))) return true
    this.digests.delete(digest)
    return false
  }

  /** Reports whether a blob has good bytes. A push verifies the bytes that it writes. */
  async hasBytes(digest: Digest, size: number): Promise<boolean> {
    if (this.unmoved.has(digest)) return false
    return this.metadata.blobBytes.has(digest) || (await this.blobs.stat(digest))?.size === size
  }
}

/**
 * Opens the set of damaged blobs that the database records. If one has a file, the process may have ended before the
 * damaged file was moved, so the blob stays hidden until it is verified.
 */
export async function openDamaged(metadata: Metadata, blobs: BlobStore): Promise<Damaged> {
  const digests = await metadata.damage.blobDigests()
  const damaged = new Damaged(metadata, blobs, digests)
  for (const digest of digests) if ((await blobs.stat(digest)) !== undefined) damaged.addUnmoved(digest)
  return damaged
}
