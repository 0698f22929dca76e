import { mkdirSync } from 'node:fs'
import { mkdir, readdir, rename, rm, stat, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { registryError } from '../oci/error.ts'
import {
  algorithmOf,
  type ByteRange,
  type Digest,
  digestFromHex,
  hexOf,
  tryParseAlgorithm,
  tryParseDigest,
} from '../oci/reference.ts'
import { type BlobBody, type BlobStat, type BlobStore, blobPlace, blobsFolder } from './blob-store.ts'

const ALGORITHMS = ['sha256', 'sha512'] as const

/** Stores blobs on a local disk, where uploads publish them. */
export class FilesystemBlobs implements BlobStore {
  private readonly data: string
  private readonly onDeleted: (digest: Digest) => Promise<void>

  /**
   * @param data the data folder
   * @param onDeleted called when the bytes of a blob were deleted, to delete what was derived from them
   */
  constructor(data: string, onDeleted: (digest: Digest) => Promise<void> = async () => {}) {
    this.data = data
    this.onDeleted = onDeleted
    for (const algorithm of ALGORITHMS) mkdirSync(join(blobsFolder(data), algorithm), { recursive: true })
  }

  async stat(digest: Digest): Promise<BlobStat | undefined> {
    const found = await this.find(digest)
    return found && { digest, size: found.size }
  }

  async open({ digest, size }: BlobStat, range: ByteRange): Promise<BlobBody> {
    const found = await this.find(digest)
    if (found?.size === size) return { file: this.fileOf(digest), range }
    throw damaged({ digest, size }, found?.size)
  }

  async delete(digest: Digest): Promise<void> {
    await rm(this.fileOf(digest), { force: true })
    await this.onDeleted(digest)
  }

  async *list(): AsyncIterable<BlobStat & { changedAt: number }> {
    for (const name of ALGORITHMS) {
      const folder = join(blobsFolder(this.data), name)
      for (const prefix of await readdir(folder)) {
        for (const hex of await readdir(join(folder, prefix))) {
          const algorithm = tryParseAlgorithm(name)
          const digest = algorithm && tryParseDigest(digestFromHex(algorithm, hex))
          const found = digest && (await this.find(digest))
          if (found) yield found
        }
      }
    }
  }

  private async find(digest: Digest): Promise<(BlobStat & { changedAt: number }) | undefined> {
    try {
      const { size, mtimeMs } = await stat(this.fileOf(digest))
      return { digest, size, changedAt: mtimeMs }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
      throw error
    }
  }

  private fileOf(digest: Digest): string {
    return blobPlace(this.data, digest).file
  }
}

/** Returns the error for a damaged file, so that the client does not get fewer bytes than announced. */
function damaged({ digest, size }: BlobStat, found: number | undefined): Error {
  const state = found === undefined ? 'missing' : `damaged (${found} bytes instead of ${size})`
  const message = `the bytes of ${digest} are ${state} on the registry's disk: push the blob again, or restore a backup`
  return registryError('INTERNAL', message, { detail: { digest }, cause: message })
}

/** Keeps damaged bytes in `<data>/quarantine/<algorithm>/<hex>`, so that an administrator can examine them. */
export class Quarantine {
  private readonly data: string

  constructor(data: string) {
    this.data = data
  }

  /** Moves the file of a blob to quarantine, if there is one. */
  async move(digest: Digest): Promise<void> {
    try {
      await rename(blobPlace(this.data, digest).file, await this.open(digest))
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    }
  }

  /** Keeps bytes that were in the database. */
  async put(digest: Digest, bytes: Uint8Array): Promise<void> {
    await writeFile(await this.open(digest), bytes)
  }

  /** Removes the quarantined bytes of a digest, if there are any. */
  async remove(digest: Digest): Promise<void> {
    await rm(this.fileOf(digest), { force: true })
  }

  private async open(digest: Digest): Promise<string> {
    const file = this.fileOf(digest)
    await mkdir(dirname(file), { recursive: true })
    return file
  }

  private fileOf(digest: Digest): string {
    return join(this.data, 'quarantine', algorithmOf(digest), hexOf(digest))
  }
}
