import { LRUCache } from 'lru-cache'
import type { Metadata } from '../../metadata/metadata.ts'
import type { Digest } from '../../oci/digest.ts'
import type { RepositoryName } from '../../oci/reference.ts'
import { type BlobStat, type BlobStore, SMALL_BYTES_MAX } from '../../storage/blob-store.ts'

/** Memory for blobs that were read or pushed lately, */
const RECENT_BYTES_MAX = 8 * 1024 * 1024
/** with what an entry takes beside its bytes, roughly. */
const ENTRY_BYTES = 256

/** Pushes that are remembered. */
const PUSHES_MAX = 10_000

/**
 * Small blobs (configs, mostly), whose bytes are in the database. A data folder that an older cay wrote has files of some;
 * they stay there until they are pushed again.
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

  /** Forgets the blobs that were read or pushed lately. */
  releaseMemory(): void {
    this.recent.clear()
  }

  isSmall(size: number): boolean {
    return size <= SMALL_BYTES_MAX
  }

  /** Reads all bytes of a small blob that some repository has. */
  async read(blob: BlobStat): Promise<Uint8Array> {
    const { digest, size } = blob
    const bytes =
      this.recent.get(digest) ?? this.metadata.blobBytes.find(digest) ?? (await this.readFile(blob))
    if (bytes.length !== size) throw new Error(`${digest} has ${bytes.length} bytes instead of ${size}`)
    this.recent.set(digest, bytes)
    return bytes
  }

  /** Whether the blob can be read: its bytes are here, as many as its row says. */
  has({ digest, size }: BlobStat): boolean | Promise<boolean> {
    if (this.isSmall(size) && (this.recent.has(digest) || this.metadata.blobBytes.has(digest))) return true
    return this.files.stat(digest).then((found) => found?.size === size)
  }

  /** Remembers a small blob that was just pushed: a config is read with its manifest, which comes next. */
  remember(repository: RepositoryName, digest: Digest, bytes: Uint8Array): void {
    this.recent.set(digest, bytes)
    this.pushed.set(`${repository}@${digest}`, true)
  }

  /**
   * The bytes of a blob that was pushed to this repository lately, without a look at the database. Whether the repository
   * still has it is not known.
   */
  findPushed(repository: RepositoryName, digest: Digest): Uint8Array | undefined {
    return this.pushed.has(`${repository}@${digest}`) ? this.recent.get(digest) : undefined
  }

  private async readFile(blob: BlobStat): Promise<Uint8Array> {
    const body = await this.files.open(blob, { start: 0, end: blob.size })
    return 'bytes' in body ? body.bytes : await Bun.file(body.file).bytes()
  }
}
