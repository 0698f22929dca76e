import { mkdirSync } from 'node:fs'
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { algorithmOf, type Digest, type DigestAlgorithm, hexOf } from '../oci/digest.ts'
import { registryError } from '../oci/error.ts'
import { appendBody } from './append.ts'
import { type BlobStat, OffsetError, type Upload, type UploadBody, type UploadStore } from './blob-store.ts'
import { DigesterClient, type UploadFile } from './digester-client.ts'
import type { FilesystemBlobs } from './filesystem.ts'
import { SlotPool } from './slot-pool.ts'

export interface UploadOptions {
  /** Shared memory for all uploads together. */
  poolBytes: number
  /** Threads that hash and write. */
  digesters: number
  /** The largest blob. */
  blobBytesMax: number
  /** A body that brings nothing for so long is given up. */
  stallSecondsMax: number
  /** Told when a digester has died: no upload can go on, the process should end. */
  onFailure: (error: Error) => void
}

/** Uploads whose file and hash are kept at hand; those idle longest are let go, and read back when they go on. */
const UPLOADS_OPEN_MAX = 512

const SLOT_BYTES = 512 * 1024

/** Uploads on a local disk: `uploads/<id>`, a file that holds what came so far, and becomes the blob. */
export class FilesystemUploads implements UploadStore {
  private readonly folder: string
  private readonly blobs: FilesystemBlobs
  private readonly options: UploadOptions
  private readonly pool: SlotPool
  private readonly digesters: DigesterClient[]
  private readonly open = new Map<string, OpenUpload>()
  private nextDigester = 0

  constructor(data: string, blobs: FilesystemBlobs, options: UploadOptions) {
    this.folder = join(data, 'uploads')
    mkdirSync(this.folder, { recursive: true })
    this.blobs = blobs
    this.options = options
    this.pool = new SlotPool(options.poolBytes, Math.min(SLOT_BYTES, options.poolBytes >> 2))
    this.digesters = Array.from(
      { length: options.digesters },
      () => new DigesterClient(this.pool, options.onFailure),
    )
  }

  start(algorithm: DigestAlgorithm): Upload {
    const upload = { id: crypto.randomUUID(), algorithm }
    this.remember(upload, 0).opened = Promise.resolve()
    return upload
  }

  async stat(upload: Upload): Promise<{ size: number; changedAt: number | undefined }> {
    const file = await this.statFile(upload.id)
    const size = this.open.get(upload.id)?.size ?? file?.size ?? 0
    return { size, changedAt: file?.mtimeMs }
  }

  append(upload: Upload, body: UploadBody): Promise<number> {
    return this.exclusively(upload, async (open) => {
      await this.receive(open, body, false)
      return open.size
    })
  }

  commit(upload: Upload, digest: Digest, body: UploadBody): Promise<BlobStat> {
    return this.exclusively(upload, async (open) => {
      const tail = await this.receive(open, body, true)
      const publication = {
        algorithm: algorithmOf(digest),
        hex: hexOf(digest),
        target: this.blobs.path(digest),
        folder: this.blobs.folderOf(digest),
      }
      try {
        const { size, mismatch } = await open.digester.commit(open.file, publication, tail)
        open.size = size
        if (mismatch === undefined) return { digest, size }
        throw registryError('DIGEST_INVALID', `the content (${size} bytes) is ${mismatch}, not ${digest}`)
      } finally {
        open.opened = undefined
        if (tail) this.pool.give(tail.slot)
      }
    })
  }

  async cancel(upload: Upload): Promise<void> {
    await this.exclusively(upload, async (open) => {
      open.ended = true
      this.open.delete(upload.id)
      await open.digester.drop(open.file)
    })
  }

  async list(): Promise<string[]> {
    return await readdir(this.folder)
  }

  stop(): void {
    for (const digester of this.digesters) digester.stop()
  }

  private async receive(
    open: OpenUpload,
    { stream, offset, ownsChunks = false }: UploadBody,
    keepTail: boolean,
  ) {
    await this.openFile(open)
    if (offset !== undefined && offset !== open.size) throw new OffsetError(open.size, offset)
    if (stream === null) return undefined
    const options = {
      pool: this.pool,
      digester: open.digester,
      upload: open.file,
      bytesMax: this.options.blobBytesMax - open.size,
      stallSecondsMax: this.options.stallSecondsMax,
      ownsChunks,
      onWritten: (bytes: number) => {
        open.size += bytes
      },
    }
    return await appendBody(stream, options, keepTail)
  }

  /** One request at a time works on an upload; the next one finds what the one before has left. */
  private async exclusively<T>(upload: Upload, work: (open: OpenUpload) => Promise<T>): Promise<T> {
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
      open.size = (await this.statFile(upload.id))?.size ?? 0
      throw error
    } finally {
      open.users--
      resolve()
    }
  }

  private async recall(upload: Upload): Promise<OpenUpload> {
    let open = this.open.get(upload.id)
    if (open === undefined) {
      const size = (await this.statFile(upload.id))?.size ?? 0
      open = this.open.get(upload.id) ?? this.remember(upload, size)
    }
    this.open.delete(upload.id)
    this.open.set(upload.id, open)
    return open
  }

  private remember({ id, algorithm }: Upload, size: number): OpenUpload {
    const digester = this.digesters[this.nextDigester++ % this.digesters.length]
    if (!digester) throw new Error('there are no digesters')
    const open: OpenUpload = {
      file: { id, algorithm, path: join(this.folder, id) },
      digester,
      size,
      users: 0,
      ended: false,
      opened: undefined,
      last: Promise.resolve(),
    }
    this.open.set(id, open)
    if (this.open.size > UPLOADS_OPEN_MAX) this.letGoOfOldest()
    return open
  }

  private letGoOfOldest(): void {
    for (const [id, open] of this.open) {
      if (open.users > 0) continue
      this.open.delete(id)
      open.digester.close(open.file).catch(this.options.onFailure)
      return
    }
  }

  /** What the file has is hashed again, unless the digester still knows it. After an error it is asked anew. */
  private openFile(open: OpenUpload): Promise<void> {
    open.opened ??= open.digester.open(open.file).then((size) => {
      open.size = size
    })
    return open.opened
  }

  private async statFile(id: string) {
    try {
      return await stat(join(this.folder, id))
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
      throw error
    }
  }
}

interface OpenUpload {
  file: UploadFile
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
