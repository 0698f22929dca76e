import { closeSync, existsSync, fsyncSync, mkdirSync, openSync } from 'node:fs'
import { readdir, readFile, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { LRUCache } from 'lru-cache'
import { algorithmOf, type Digest, digestFromHex, findAlgorithm, findDigest, hexOf } from '../oci/digest.ts'
import type { ByteRange } from '../oci/range.ts'
import type { BlobBody, BlobStat, BlobStore } from './blob-store.ts'

/** Blobs up to this size (configs, mostly) are kept in memory when they were read, */
const SMALL_BYTES_MAX = 64 * 1024
/** as many as fit into this. */
const SMALL_BLOBS_BYTES_MAX = 8 * 1024 * 1024

/** Blobs on a local disk: `blobs/<algorithm>/<2 hex>/<hex>`. */
export class FilesystemBlobs implements BlobStore {
  private readonly folder: string
  private readonly small = new LRUCache<Digest, Uint8Array>({
    maxSize: SMALL_BLOBS_BYTES_MAX,
    sizeCalculation: (bytes) => bytes.length,
  })

  /** @param data the data folder; the store's folders are made in it, and are durable when this returns */
  constructor(data: string) {
    this.folder = join(data, 'blobs')
    makeFolders(data, this.folder)
  }

  async stat(digest: Digest): Promise<BlobStat | undefined> {
    try {
      const { size } = await stat(this.path(digest))
      return { digest, size }
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
    if (size > SMALL_BYTES_MAX || size === 0) return { file, range }
    const bytes = await readFile(file)
    this.small.set(digest, bytes)
    return { bytes: bytes.subarray(range.start, range.end) }
  }

  async delete(digest: Digest): Promise<void> {
    this.small.delete(digest)
    await rm(this.path(digest), { force: true })
  }

  async *list(): AsyncIterable<BlobStat> {
    for (const name of ['sha256', 'sha512']) {
      for (const prefix of await readdir(join(this.folder, name))) {
        for (const hex of await readdir(join(this.folder, name, prefix))) {
          const algorithm = findAlgorithm(name)
          const digest = algorithm && findDigest(digestFromHex(algorithm, hex))
          const found = digest && (await this.stat(digest))
          if (found) yield found
        }
      }
    }
  }

  /** Where a blob's file is. */
  path(digest: Digest): string {
    return join(this.folderOf(digest), hexOf(digest))
  }

  /** The folder that a blob's file is in. */
  folderOf(digest: Digest): string {
    return join(this.folder, algorithmOf(digest), hexOf(digest).slice(0, 2))
  }
}

/** All folders are made at the first start, so that a push syncs only the one that its file is in. */
function makeFolders(data: string, blobs: string): void {
  const prefixes = Array.from({ length: 256 }, (_, i) => i.toString(16).padStart(2, '0'))
  for (const algorithm of ['sha512', 'sha256']) {
    const folder = join(blobs, algorithm)
    if (existsSync(join(folder, 'ff'))) continue
    for (const prefix of prefixes) mkdirSync(join(folder, prefix), { recursive: true })
    syncFolder(folder)
  }
  syncFolder(blobs)
  syncFolder(data)
}

function syncFolder(path: string): void {
  const fd = openSync(path, 'r')
  try {
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}
