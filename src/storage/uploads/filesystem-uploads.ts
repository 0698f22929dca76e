import { LRUCache } from 'lru-cache'
import type { UploadBody } from '../../domain/blob-body.ts'
import type { Digest, DigestAlgorithm } from '../../oci/digest.ts'
import { ownText } from '../../own-text.ts'
import { blobPlace, blobsFolder } from '../blob-place.ts'
import type { CommittedBlob, Upload, UploadProgress, UploadStore, UploadsInProgress } from '../blob-store.ts'
import { DigesterClient } from '../digester-client.ts'
import { Publishers } from '../publishers.ts'
import { SlotPool } from '../slot-pool.ts'
import { Turns } from '../turns.ts'
import { OpenUploads } from './open-uploads.ts'
import { UploadFiles } from './upload-files.ts'
import { beganAt, UploadIds, uuidOf } from './upload-ids.ts'
import type { UploadOptions } from './upload-options.ts'

const SLOT_BYTES = 512 * 1024

/** How many ids of ended uploads are remembered. */
const UPLOADS_ENDED_MAX = 10_000

/** Stores uploads on a local disk, each in a file that becomes the blob. */
export class FilesystemUploads implements UploadStore, UploadsInProgress {
  private readonly files: UploadFiles
  private readonly ids: UploadIds
  /** Recently published or cancelled uploads. The disk does not record these. */
  private readonly ended = new LRUCache<string, true>({ max: UPLOADS_ENDED_MAX })
  /** Uploads without bytes that began before this time have expired. */
  private expiredBefore = 0
  private readonly digesters: DigesterClient[]
  private readonly publishers: Publishers
  private readonly open: OpenUploads
  private readonly blobsFolder: string
  private readonly onEnded: (name: string) => void
  private nextDigester = 0

  constructor(data: string, options: UploadOptions) {
    const { poolBytes, digesters, onFailure, onEnded = () => {} } = options
    this.onEnded = onEnded
    this.files = new UploadFiles(data)
    this.blobsFolder = blobsFolder(data)
    this.ids = new UploadIds(this.files.readKey())
    const pool = new SlotPool(poolBytes, Math.min(SLOT_BYTES, poolBytes >> 2))
    this.digesters = Array.from({ length: digesters }, () => new DigesterClient(pool, onFailure))
    this.publishers = new Publishers(onFailure)
    this.open = new OpenUploads(
      {
        ...options,
        files: this.files,
        pool,
        turns: new Turns(),
        publishers: this.publishers,
        takeDigester: () => this.takeDigester(),
        onReceived: options.onReceived ?? (() => {}),
        placeOf: (digest) => blobPlace(data, digest),
        onEnded: ({ upload, file }) => {
          this.end(file.id)
          this.open.forget(upload.id)
        },
      },
      onFailure,
    )
  }

  /** Checks the folders and removes what a crash left behind. Call it before the first upload starts. */
  async tidy(): Promise<void> {
    this.files.requireMovesTo(this.blobsFolder)
    await this.files.tidy()
  }

  start(scope: string, algorithm: DigestAlgorithm): Upload {
    const upload = this.ids.make(scope, algorithm)
    this.open.start(upload)
    return upload
  }

  async find(scope: string, id: string): Promise<Upload | undefined> {
    const known = this.open.find(id)?.upload
    if (known?.scope === scope) return known
    const upload = this.ids.parse(scope, id)
    if (upload === undefined || this.ended.has(uuidOf(id))) return undefined
    if (beganAt(id) >= this.expiredBefore) return upload
    return (await this.files.findSize(this.files.ofUpload(upload))) === undefined ? undefined : upload
  }

  async getSize(upload: Upload): Promise<number> {
    return this.open.find(upload.id)?.size ?? (await this.files.findSize(this.files.ofUpload(upload))) ?? 0
  }

  async append(upload: Upload, body: UploadBody): Promise<number> {
    return await (await this.open.get(upload)).append(body)
  }

  async commit(upload: Upload, digest: Digest, body: UploadBody): Promise<CommittedBlob> {
    return await (await this.open.get(upload)).commit(digest, body)
  }

  /** Reports whether the bytes of the upload have this digest. */
  async verify(upload: Upload, digest: Digest): Promise<boolean> {
    return await (await this.open.get(upload)).verify(digest)
  }

  async cancel(upload: Upload): Promise<void> {
    await (await this.open.get(upload)).cancel()
  }

  async expire(before: number): Promise<number> {
    this.expiredBefore = before
    for (const { upload, isBusy, hasFile } of this.open.list()) {
      if (!isBusy && !hasFile && beganAt(upload.id) < before) this.open.forget(upload.id)
    }
    const sessions = new Map(this.open.list().map((session) => [session.file.id, session] as const))
    let dropped = 0
    for await (const file of this.files.clients()) {
      const session = sessions.get(file.id)
      if (file.changedAt >= before || session?.isBusy) continue
      if (session) await session.cancel()
      else await this.takeDigester().drop(file)
      this.end(file.id)
      dropped++
    }
    return dropped
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
    const session = this.open.list().find(({ file }) => file.id === name)
    const file = await this.files.find(name)
    // A request may use it for long, so it is deleted when that request has ended.
    if (session?.isBusy) session.cancel().catch(() => {})
    else if (session) await session.cancel()
    else if (file) await this.takeDigester().drop(file)
    else return false
    this.end(name)
    return true
  }

  private end(name: string): void {
    this.ended.set(ownText(name), true)
    this.onEnded(name)
  }

  /** Closes most uploads. A later request opens them again, as after a restart. */
  releaseMemory(): void {
    this.open.releaseMemory()
  }

  async stop(): Promise<void> {
    await Promise.all([this.publishers.stop(), ...this.digesters.map((digester) => digester.stop())])
  }

  /** Returns the digester with the fewest pending messages; round-robin among equals. */
  private takeDigester(): DigesterClient {
    const { digesters } = this
    const first = this.nextDigester++ % digesters.length
    const turns = [...digesters.slice(first), ...digesters.slice(0, first)]
    return turns.reduce((least, next) => (next.waiting < least.waiting ? next : least))
  }
}
