import { registryError } from '../oci/error.ts'
import type { Upload } from './blob-store.ts'
import type { DigesterClient, UploadFile } from './digester-client.ts'
import type { UploadFiles } from './upload-files.ts'

/** Uploads whose file and hash are kept at hand; those idle longest are let go, and read back when they go on. */
const UPLOADS_OPEN_MAX = 512

/** What is known of an upload while it goes on. */
export interface OpenUpload {
  upload: Upload
  file: UploadFile
  /** The file may be there: it is to be removed at the end. */
  hasFile: boolean
  digester: DigesterClient
  /** Bytes that are in the file. */
  size: number
  /** Requests that work on it or wait for it. */
  users: number
  /** Settled when the digester has the file open, or makes it by itself; undefined when it must be asked. */
  opened: Promise<void> | undefined
  /** Published or cancelled. */
  ended: boolean
  /** Settled when the request before this one is done with it. */
  last: Promise<void>
}

/** The uploads that are at hand, the one that was used last at the end. */
export class OpenUploads {
  private readonly open = new Map<string, OpenUpload>()
  private readonly files: UploadFiles
  private readonly takeDigester: () => DigesterClient
  private readonly onFailure: (error: Error) => void

  /** `takeDigester` says who hashes the next upload; `onFailure` is told when a file cannot be closed. */
  constructor(files: UploadFiles, takeDigester: () => DigesterClient, onFailure: (error: Error) => void) {
    this.files = files
    this.takeDigester = takeDigester
    this.onFailure = onFailure
  }

  find(id: string): OpenUpload | undefined {
    return this.open.get(id)
  }

  list(): MapIterator<OpenUpload> {
    return this.open.values()
  }

  /** Takes a new upload, of which nothing is on the disk. */
  start(upload: Upload): void {
    this.remember(upload, 0).opened = Promise.resolve()
  }

  forget(id: string): void {
    this.open.delete(id)
  }

  /**
   * One request at a time works on an upload; the next one finds what the one before has left.
   * @throws RegistryError BLOB_UPLOAD_UNKNOWN when that one has ended it
   */
  async exclusively<T>(upload: Upload, work: (open: OpenUpload) => Promise<T>): Promise<T> {
    const open = await this.recall(upload)
    const before = open.last
    const { promise, resolve } = Promise.withResolvers<void>()
    open.last = promise
    open.users++
    try {
      await before
      if (open.ended) throw registryError('BLOB_UPLOAD_UNKNOWN')
      return await work(open)
    } catch (error) {
      open.opened = undefined
      open.size = (await this.files.findSize(open.file)) ?? 0
      throw error
    } finally {
      open.users--
      resolve()
    }
  }

  private async recall(upload: Upload): Promise<OpenUpload> {
    let open = this.open.get(upload.id)
    if (open === undefined) {
      const size = (await this.files.findSize(this.files.ofUpload(upload))) ?? 0
      open = this.open.get(upload.id) ?? this.remember(upload, size)
    }
    this.open.delete(upload.id)
    this.open.set(upload.id, open)
    return open
  }

  private remember(upload: Upload, size: number): OpenUpload {
    const open: OpenUpload = {
      upload,
      file: this.files.ofUpload(upload),
      hasFile: size > 0,
      digester: this.takeDigester(),
      size,
      users: 0,
      ended: false,
      opened: undefined,
      last: Promise.resolve(),
    }
    this.open.set(upload.id, open)
    if (this.open.size > UPLOADS_OPEN_MAX) this.letGoOfOldest()
    return open
  }

  private letGoOfOldest(): void {
    for (const [id, open] of this.open) {
      if (open.users > 0) continue
      this.open.delete(id)
      open.digester.close(open.file).catch(this.onFailure)
      return
    }
  }
}
