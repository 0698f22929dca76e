import { LRUCache } from 'lru-cache'
import type { Metadata } from '../../metadata/metadata.ts'
import type { Digest } from '../../oci/digest.ts'
import type { RepositoryName } from '../../oci/reference.ts'
import { type BlobStat, type BlobStore, SMALL_BYTES_MAX } from '../../storage/blob-store.ts'

/** The memory for recently read or pushed blobs, in bytes. */
const RECENT_BYTES_MAX = 8 * 1024 * 1024
/** The approximate overhead of an entry, in bytes. */
const ENTRY_BYTES = 256

/** How many pushes are remembered. */
const PUSHES_MAX = 10_000

/**
 * Reads and caches small blobs, mostly configs, whose bytes are in the database. In a data folder of an older version,
 * some of them are files, which stay until the blobs are pushed again.
 */
export class SmallBlobs {
  private readonly metadata: Pick<Metadata, 'blobBytes'>
  private readonly files: BlobStore
  private readonly recent = new LRUCache<Digest, Uint8Array>({
    maxSize: RECENT_BYTES_MAX,
    sizeCalculation: (bytes) => bytes.length + ENTRY_BYTES,
  })
  private readonly pushed = new LRUCache<string, true>({ max: PUSHES_MAX })

  /** @param files the store of larger blobs */
  constructor(metadata: Pick<Metadata, 'blobBytes'>, files: BlobStore) {
    this.metadata = metadata
    this.files = files
  }

  /** Empties the cache. A push in progress then reads its config from the database. */
  releaseMemory(): void {
    this.recent.clear()
    this.pushed.clear()
  }

  isSmall(size: number): boolean {
    return size <= SMALL_BYTES_MAX
  }

  /** Reads a small blob that some repository has. */
  async read(blob: BlobStat): Promise<Uint8Array> {
    const { digest, size } = blob
    const bytes =
      this.recent.get(digest) ?? this.metadata.blobBytes.find(digest) ?? (await this.readFile(blob))
    if (bytes.length !== size) throw new Error(`${digest} has ${bytes.length} bytes instead of ${size}`)
    this.recent.set(digest, bytes)
    return bytes
  }

  /** Reports whether the blob's bytes are stored, with the size that its row has. */
  has({ digest, size }: BlobStat): boolean | Promise<boolean> {
    if (this.isSmall(size) && (this.recent.has(digest) || this.metadata.blobBytes.has(digest))) return true
    return this.files.stat(digest).then((found) => found?.size === size)
  }

  /** Caches a small blob that was just pushed, because the manifest that follows needs its config. */
  remember(repository: RepositoryName, digest: Digest, bytes: Uint8Array): void {
    this.recent.set(digest, bytes)
    this.pushed.set(`${repository}@${digest}`, true)
  }

  /**
   * Returns the bytes of a blob that was recently pushed to this repository, without reading the database. The
   * repository may have lost it since.
   */
  findPushed(repository: RepositoryName, digest: Digest): Uint8Array | undefined {
    return this.pushed.has(`${repository}@${digest}`) ? this.recent.get(digest) : undefined
  }

  private async readFile(blob: BlobStat): Promise<Uint8Array> {
    const body = await this.files.open(blob, { start: 0, end: blob.size })
    return 'bytes' in body ? body.bytes : await Bun.file(body.file).bytes()
  }
}
