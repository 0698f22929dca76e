import { mkdir, rename, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { algorithmOf, type Digest, hexOf } from '../oci/digest.ts'
import { blobPlace } from './blob-place.ts'

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
