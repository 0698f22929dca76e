import { mkdirSync } from 'node:fs'
import { mkdir, open, readdir, readFile, rm, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { LRUCache } from 'lru-cache'
import type { BlobBody } from '../domain/blob-body.ts'
import { algorithmOf, type Digest, digestFromHex, findAlgorithm, findDigest, hexOf } from '../oci/digest.ts'
import type { ByteRange } from '../oci/range.ts'
import type { BlobStat, BlobStore } from './blob-store.ts'

/** Blobs up to this size (configs, mostly) are kept in memory when they were read, */
const SMALL_BYTES_MAX = 64 * 1024
/** as many as fit into this. */
const SMALL_BLOBS_BYTES_MAX = 8 * 1024 * 1024

const ALGORITHMS = ['sha256', 'sha512'] as const

/** Blobs on a local disk: `blobs/<algorithm>/<2 hex>/<hex>`. */
export class FilesystemBlobs implements BlobStore {
  private readonly folder: string
  private readonly roots: Promise<unknown>
  private readonly folders = new Map<string, Promise<void>>()
  private readonly small = new LRUCache<Digest, Uint8Array>({
    maxSize: SMALL_BLOBS_BYTES_MAX,
    sizeCalculation: (bytes) => bytes.length,
  })

  /** @param data the data folder; the store's folders are made in it, each with the first blob that it is for */
  constructor(data: string) {
    this.folder = join(data, 'blobs')
    for (const algorithm of ALGORITHMS) mkdirSync(join(this.folder, algorithm), { recursive: true })
    this.roots = Promise.all([this.folder, data].map(syncFolder))
    this.roots.catch(() => {})
  }

  async stat(digest: Digest): Promise<BlobStat | undefined> {
    const found = await this.find(digest)
    return found && { digest, size: found.size }
  }

  private async find(digest: Digest): Promise<(BlobStat & { changedAt: number }) | undefined> {
    try {
      const { size, mtimeMs } = await stat(this.path(digest))
      return { digest, size, changedAt: mtimeMs }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
      throw error
    }
  }

  async open(digest: Digest, range: ByteRange): Promise<BlobBody> {
    const cached = this.small.get(digest)
    if (cached) return { bytes: cached.subarray(range.start, range.end) }
    const file = this.path(digest)
    const { size } = await stat(file)
    if (!this.isSmall(size)) return { file, range }
    const bytes = await readFile(file)
    this.small.set(digest, bytes)
    return { bytes: bytes.subarray(range.start, range.end) }
  }

  /** Whether a blob of this size is kept in memory once it was read. */
  isSmall(size: number): boolean {
    return size > 0 && size <= SMALL_BYTES_MAX
  }

  /** Keeps a small blob in memory that was just published: configs are read again soon. */
  remember(digest: Digest, bytes: Uint8Array): void {
    this.small.set(digest, bytes)
  }

  async delete(digest: Digest): Promise<void> {
    this.small.delete(digest)
    await rm(this.path(digest), { force: true })
  }

  async *list(): AsyncIterable<BlobStat & { changedAt: number }> {
    for (const name of ALGORITHMS) {
      for (const prefix of await readdir(join(this.folder, name))) {
        for (const hex of await readdir(join(this.folder, name, prefix))) {
          const algorithm = findAlgorithm(name)
          const digest = algorithm && findDigest(digestFromHex(algorithm, hex))
          const found = digest && (await this.find(digest))
          if (found) yield found
        }
      }
    }
  }

  /** Where a blob's file is. */
  path(digest: Digest): string {
    return join(this.folderOf(digest), hexOf(digest))
  }

  /** The folder that a blob's file is in; it is there, and durable, when this resolves. */
  async makeFolderOf(digest: Digest): Promise<string> {
    const folder = this.folderOf(digest)
    let made = this.folders.get(folder)
    if (made === undefined) {
      made = this.makeFolder(folder)
      this.folders.set(folder, made)
      made.catch(() => this.folders.delete(folder))
    }
    await made
    return folder
  }

  private async makeFolder(folder: string): Promise<void> {
    await this.roots
    await mkdir(folder, { recursive: true })
    await syncFolder(dirname(folder))
  }

  private folderOf(digest: Digest): string {
    return join(this.folder, algorithmOf(digest), hexOf(digest).slice(0, 2))
  }
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path)
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}
