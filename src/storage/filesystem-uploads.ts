import { LRUCache } from 'lru-cache'
import { OffsetError, type UploadBody } from '../domain/blob-body.ts'
import { algorithmOf, type Digest, type DigestAlgorithm, hexOf } from '../oci/digest.ts'
import { registryError } from '../oci/error.ts'
import { appendBody } from './append.ts'
import type { BlobStat, Upload, UploadProgress, UploadStore, UploadsInProgress } from './blob-store.ts'
import { DigesterClient } from './digester-client.ts'
import type { FilesystemBlobs } from './filesystem.ts'
import { type OpenUpload, OpenUploads } from './open-uploads.ts'
import { SlotPool } from './slot-pool.ts'
import { Turns } from './turns.ts'
import { UploadFiles } from './upload-files.ts'
import { beganAt, UploadIds, uuidOf } from './upload-ids.ts'
import type { UploadOptions } from './upload-options.ts'

const SLOT_BYTES = 512 * 1024

/** Ids of uploads that have ended, which are remembered: a client that asks again soon is told. */
const UPLOADS_ENDED_MAX = 10_000

/** Uploads on a local disk: a file each, which holds what came so far, and becomes the blob. */
export class FilesystemUploads implements UploadStore, UploadsInProgress {
  private readonly files: UploadFiles
  private readonly ids: UploadIds
  /** Published or cancelled, lately: nothing on disk tells that. */
  private readonly ended = new LRUCache<string, true>({ max: UPLOADS_ENDED_MAX })
  /** Uploads that began before have expired, unless they have bytes. */
  private expiredBefore = 0
  private readonly blobs: FilesystemBlobs
  private readonly options: UploadOptions
  private readonly pool: SlotPool
  private readonly digesters: DigesterClient[]
  private readonly open: OpenUploads
  private readonly turns = new Turns()
  private nextDigester = 0

  constructor(data: string, blobs: FilesystemBlobs, options: UploadOptions) {
    this.files = new UploadFiles(data)
    this.ids = new UploadIds(this.files.readKey())
    this.blobs = blobs
    this.options = options
    this.pool = new SlotPool(options.poolBytes, Math.min(SLOT_BYTES, options.poolBytes >> 2))
    this.digesters = Array.from(
      { length: options.digesters },
      () => new DigesterClient(this.pool, options.onFailure),
    )
    this.open = new OpenUploads(this.files, () => this.digesterOf(), options.onFailure)
  }

  /** Removes what a crash has left; to be called before the first upload starts. */
  tidy(): Promise<void> {
    return this.files.tidy()
  }

  start(scope: string, algorithm: DigestAlgorithm): Upload {
    const upload = this.ids.make(scope, algorithm)
    this.open.start(upload)
    return upload
  }

  async find(scope: string, id: string): Promise<Upload | undefined> {
    const upload = this.ids.parse(scope, id)
    if (upload === undefined || this.ended.has(uuidOf(id))) return undefined
    if (this.open.find(id) || beganAt(id) >= this.expiredBefore) return upload
    return (await this.files.findSize(this.files.ofUpload(upload))) === undefined ? undefined : upload
  }

  async getSize(upload: Upload): Promise<number> {
    return this.open.find(upload.id)?.size ?? (await this.files.findSize(this.files.ofUpload(upload))) ?? 0
  }

  append(upload: Upload, body: UploadBody): Promise<number> {
    return this.open.exclusively(upload, async (open) => {
      await this.receive(open, body, false)
      return open.size
    })
  }

  commit(upload: Upload, digest: Digest, body: UploadBody): Promise<BlobStat> {
    return this.open.exclusively(upload, async (open) => {
      const keep = open.size > 0
      const tail = await this.receive(open, body, true)
      if (tail) this.options.onReceived?.(tail.length)
      try {
        const publication = {
          algorithm: algorithmOf(digest),
          hex: hexOf(digest),
          target: this.blobs.path(digest),
          folder: await this.blobs.makeFolderOf(digest),
          keep,
        }
        const { size, mismatch } = await open.digester.commit(open.file, publication, tail)
        open.size = size
        if (mismatch === undefined) {
          if (!keep) Object.assign(open, { hasFile: false, size: 0 })
          if (tail?.length === size && this.blobs.isSmall(size)) {
            this.blobs.remember(digest, this.pool.copy(tail))
          }
          return { digest, size }
        }
        throw registryError('DIGEST_INVALID', `the content (${size} bytes) is ${mismatch}, not ${digest}`)
      } finally {
        open.opened = undefined
        if (tail) this.pool.give(tail.slot)
      }
    })
  }

  async cancel(upload: Upload): Promise<void> {
    await this.open.exclusively(upload, async (open) => {
      open.ended = true
      this.ended.set(open.file.id, true)
      this.open.forget(upload.id)
      if (open.hasFile) await open.digester.drop(open.file)
    })
  }

  async expire(before: number): Promise<number> {
    this.expiredBefore = before
    for (const { upload, users, hasFile } of this.open.list()) {
      if (users === 0 && !hasFile && beganAt(upload.id) < before) this.open.forget(upload.id)
    }
    const busy = new Map(this.open.list().map((open) => [open.file.id, open] as const))
    let expired = 0
    for await (const file of this.files.list()) {
      const open = busy.get(file.id)
      if (file.changedAt >= before || (open && open.users > 0)) continue
      if (open) await this.cancel(open.upload)
      else await this.digesterOf().drop(file)
      this.ended.set(file.id, true)
      expired++
    }
    return expired
  }

  async list(last: string, limit: number): Promise<UploadProgress[]> {
    const scopes = new Map(this.open.list().map(({ file, upload }) => [file.id, upload.scope] as const))
    const files = await Array.fromAsync(this.files.list(last, limit))
    return files.map(({ id: name, ...file }) => ({
      ...file,
      name,
      scope: scopes.get(name),
      beganAt: beganAt(name),
    }))
  }

  measure(filesMax: number): Promise<{ uploads: number; bytes: number }> {
    return this.files.measure(filesMax)
  }

  async drop(name: string): Promise<boolean> {
    const open = this.open.list().find(({ file }) => file.id === name)
    const file = await this.files.find(name)
    // Who works on it may take long: it goes when that request has ended.
    if (open && open.users > 0) this.cancel(open.upload).catch(() => {})
    else if (open) await this.cancel(open.upload)
    else if (file) await this.digesterOf().drop(file)
    else return false
    this.ended.set(name, true)
    return true
  }

  stop(): void {
    for (const digester of this.digesters) digester.stop()
  }

  private async receive(open: OpenUpload, body: UploadBody, keepFilledSlot: boolean) {
    await this.openFile(open)
    const { offset } = body
    if (offset !== undefined && offset !== open.size) throw new OffsetError(open.size, offset)
    if (body.length === 0) return undefined
    open.hasFile = true
    const options = {
      turns: this.turns,
      pool: this.pool,
      digester: open.digester,
      upload: open.file,
      bytesMax: this.options.blobBytesMax - open.size,
      stallSecondsMax: this.options.stallSecondsMax,
      onWritten: (bytes: number) => {
        open.size += bytes
        this.options.onReceived?.(bytes)
      },
    }
    return await appendBody(body, options, keepFilledSlot)
  }

  /** The digesters take uploads in turns. */
  private digesterOf(): DigesterClient {
    const digester = this.digesters[this.nextDigester++ % this.digesters.length]
    if (!digester) throw new Error('there are no digesters')
    return digester
  }

  /** What the file has is hashed again, unless the digester still knows it. After an error it is asked anew. */
  private openFile(open: OpenUpload): Promise<void> {
    if (open.opened === undefined) open.hasFile = true
    open.opened ??= open.digester.open(open.file).then((size) => {
      open.size = size
    })
    return open.opened
  }
}
