import { link, lstat, rm } from 'node:fs/promises'
import { algorithmOf, type Digest } from '../oci/digest.ts'
import { SMALL_BYTES_MAX } from '../storage/blob-store.ts'
import { UploadFiles } from '../storage/uploads/upload-files.ts'
import { UploadIds } from '../storage/uploads/upload-ids.ts'
import type { Send } from './source.ts'

/**
 * Pushes files of this host to the registry of a data folder as hard links, so that they take no space twice. A link becomes
 * the file of an upload, and the registry hashes it as it hashes every upload. It never changes a file with two names, so
 * the source stays as it is.
 */
export class BlobLinks {
  private readonly files: UploadFiles
  private readonly ids: UploadIds
  private readonly send: Send

  /**
   * @param data the data folder, which this user can write to
   * @param send sends requests to the registry of that folder
   */
  constructor(data: string, send: Send) {
    this.files = new UploadFiles(data)
    this.ids = new UploadIds(this.files.readKey())
    this.send = send
  }

  /**
   * Pushes a file as a link. Returns false if it must be copied: it is small, on another volume, not an ordinary file, or the
   * kernel or the registry refuses the link.
   */
  async push(repository: string, digest: Digest, file: string): Promise<boolean> {
    const found = await lstat(file).catch(() => undefined)
    if (!found?.isFile() || found.size <= SMALL_BYTES_MAX) return false
    const upload = this.ids.make(repository, algorithmOf(digest))
    const { path } = this.files.ofUpload(upload)
    try {
      await link(file, path)
    } catch {
      // Another volume, fs.protected_hardlinks, or a file system without links.
      return false
    }
    let isStored = false
    try {
      // Nobody else can replace the link: it is in a private folder.
      const linked = await lstat(path)
      if (!linked.isFile() || linked.size !== found.size) return false
      const put = `/v2/${repository}/blobs/uploads/${upload.id}?digest=${digest}`
      isStored = (await this.send(put, { method: 'PUT' })).status === 201
      return isStored
    } finally {
      if (!isStored) await rm(path, { force: true })
    }
  }
}
