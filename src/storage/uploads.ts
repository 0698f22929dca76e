import { type FileHandle, open } from 'node:fs/promises'
import { LRUCache } from 'lru-cache'
import { algorithmOf, type Digest, type DigestAlgorithm, hexOf } from '../oci/reference.ts'
import { ownText } from '../runtime/clock.ts'
import { Turns } from './append.ts'
import {
  blobPlace,
  blobsFolder,
  type CommittedBlob,
  type FillStore,
  type GrowingFile,
  type Upload,
  type UploadBody,
  type UploadProgress,
  type UploadStore,
  type UploadsInProgress,
} from './blob-store.ts'
import { type Digester, SlotPool, startDigester } from './digesters.ts'
import { Publishers } from './publishers.ts'
import { beganAt, FILL_SUFFIX, UploadFiles, UploadIds, uuidOf } from './upload-files.ts'
import { type SessionMeans, UploadSession } from './upload-session.ts'

const SLOT_BYTES = 512 * 1024

/** How many ids of ended uploads are remembered. */
const UPLOADS_ENDED_MAX = 10_000

/** How many uploads keep their file and hash open. The least recently used ones are closed, and read back when used. */
const UPLOADS_OPEN_MAX = 512

/** How many uploads stay open when the server is idle. */
const UPLOADS_OPEN_IDLE_MAX = 16

/** Stores uploads on a local disk, each in a file that becomes the blob. */
export class FilesystemUploads implements UploadStore, UploadsInProgress {
  private readonly options: UploadOptions
  private readonly files: UploadFiles
  private readonly ids: UploadIds
  /** Recently published or cancelled uploads. The disk does not record these. */
  private readonly ended = new LRUCache<string, true>({ max: UPLOADS_ENDED_MAX })
  /** Uploads without bytes that began before this time have expired. */
  private expiredBefore = 0
  private readonly digesters: Digester[]
  private nextDigester = 0
  private readonly publishers: Publishers
  private readonly blobsFolder: string
  /** The open uploads, the most recently used one last. */
  private readonly sessions = new Map<string, UploadSession>()
  private readonly means: SessionMeans

  constructor(data: string, options: UploadOptions) {
    const { poolBytes, digesters, onFailure } = options
    this.options = options
    this.files = new UploadFiles(data)
    this.blobsFolder = blobsFolder(data)
    this.ids = new UploadIds(this.files.readKey())
    const pool = new SlotPool(poolBytes, Math.min(SLOT_BYTES, poolBytes >> 2))
    this.digesters = Array.from({ length: digesters }, () => startDigester(pool, onFailure))
    this.publishers = new Publishers(onFailure)
    this.means = {
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
        this.sessions.delete(upload.id)
      },
    }
  }

  /** Checks the folders and removes what a crash left behind. Call it before the first upload starts. */
  async tidy(): Promise<void> {
    this.files.requireMovesTo(this.blobsFolder)
    await this.files.tidy()
  }

  start(scope: string, algorithm: DigestAlgorithm): Upload {
    const upload = this.ids.make(scope, algorithm)
    this.remember(upload, undefined)
    return upload
  }

  async find(scope: string, id: string): Promise<Upload | undefined> {
    const known = this.sessions.get(id)?.upload
    if (known?.scope === scope) return known
    const upload = this.ids.parse(scope, id)
    if (upload === undefined || this.ended.has(uuidOf(id))) return undefined
    if (beganAt(id) >= this.expiredBefore) return upload
    return (await this.files.findSize(this.files.ofUpload(upload))) === undefined ? undefined : upload
  }

  async getSize(upload: Upload): Promise<number> {
    const open = this.sessions.get(upload.id)
    return open?.size ?? (await this.files.findSize(this.files.ofUpload(upload))) ?? 0
  }

  async append(upload: Upload, body: UploadBody): Promise<number> {
    return await (await this.open(upload)).append(body)
  }

  async commit(upload: Upload, digest: Digest, body: UploadBody): Promise<CommittedBlob> {
    return await (await this.open(upload)).commit(digest, body)
  }

  /** Reports whether the bytes of the upload have this digest. */
  async verify(upload: Upload, digest: Digest): Promise<boolean> {
    return await (await this.open(upload)).verify(digest)
  }

  async cancel(upload: Upload): Promise<void> {
    await (await this.open(upload)).cancel()
  }

  async expire(before: number): Promise<number> {
    this.expiredBefore = before
    for (const { upload, isBusy, hasFile } of this.sessions.values()) {
      if (!isBusy && !hasFile && beganAt(upload.id) < before) this.sessions.delete(upload.id)
    }
    const sessions = new Map(this.sessions.values().map((session) => [session.file.id, session] as const))
    let dropped = 0
    for await (const file of this.files.clients()) {
      const session = sessions.get(file.id)
      if (file.changedAt >= before || session?.isBusy) continue
      if (session) await session.cancel()
      else await this.takeDigester().ask({ do: 'drop', upload: file })
      this.end(file.id)
      dropped++
    }
    return dropped
  }

  async list(last: string, limit: number): Promise<UploadProgress[]> {
    const scopes = new Map(this.sessions.values().map(({ file, upload }) => [file.id, upload.scope] as const))
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
    const session = this.sessions.values().find(({ file }) => file.id === name)
    const file = await this.files.find(name)
    // A request may use it for long, so it is deleted when that request has ended.
    if (session?.isBusy) session.cancel().catch(() => {})
    else if (session) await session.cancel()
    else if (file) await this.takeDigester().ask({ do: 'drop', upload: file })
    else return false
    this.end(name)
    return true
  }

  /**
   * Closes most uploads. A later request opens them again, as after a restart. Their objects are few but scattered, and
   * each keeps a free block of memory from being returned.
   */
  releaseMemory(): void {
    this.closeOldest(UPLOADS_OPEN_IDLE_MAX)
  }

  async stop(): Promise<void> {
    await Promise.all([this.publishers.stop(), ...this.digesters.map((digester) => digester.stop())])
  }

  /** Returns the session of an upload, which may have begun in an earlier process. */
  private async open(upload: Upload): Promise<UploadSession> {
    let session = this.sessions.get(upload.id)
    if (session === undefined) {
      const size = await this.files.findSize(this.files.ofUpload(upload))
      session = this.sessions.get(upload.id) ?? this.remember(upload, size)
    }
    this.sessions.delete(upload.id)
    this.sessions.set(upload.id, session)
    return session
  }

  private remember(upload: Upload, fileSize: number | undefined): UploadSession {
    const session = new UploadSession(upload, this.means, fileSize)
    this.sessions.set(upload.id, session)
    this.closeOldest(UPLOADS_OPEN_MAX)
    return session
  }

  /** Closes the least recently used uploads that no request uses, until so many are open. */
  private closeOldest(openMax: number): void {
    for (const [id, session] of this.sessions) {
      if (this.sessions.size <= openMax) return
      if (session.isBusy) continue
      this.sessions.delete(id)
      session.close().catch(this.options.onFailure)
    }
  }

  private end(name: string): void {
    this.ended.set(ownText(name), true)
    this.options.onEnded?.(name)
  }

  /** Returns the digester with the fewest pending messages; round-robin among equals. */
  private takeDigester(): Digester {
    const { digesters } = this
    const first = this.nextDigester++ % digesters.length
    const turns = [...digesters.slice(first), ...digesters.slice(0, first)]
    return turns.reduce((least, next) => (next.waiting < least.waiting ? next : least))
  }
}

/** Limits and callbacks of uploads on a local disk. */
interface UploadOptions {
  /** Memory for all uploads together, in bytes. */
  poolBytes: number
  /** How many threads hash and write. */
  digesters: number
  /** The largest blob, in bytes. */
  blobBytesMax: number
  /** How long a body may stall before it is abandoned. */
  stallSecondsMax: number
  /** Called when a digester has crashed. No upload can continue, so the process should end. */
  onFailure: (error: Error) => void
  /** Called for each part of a body that is written, with its size in bytes. */
  onReceived?: (bytes: number) => void
  /** Waits until there is room for bytes of a push that have arrived. Waiting is not a stall. */
  pace?: (bytes: number) => Promise<void> | undefined
  /** Frees space when a push finds the disk full. Resolves to false when there is nothing to free. */
  onDiskFull?: () => Promise<boolean>
  /** Called with the name of an upload that was cancelled, has expired, or has become a blob. */
  onEnded?: (name: string) => void
}

/** The scope of all fills: no repository has this name. */
const SCOPE = ''

/**
 * Partial blobs of upstreams: uploads whose files are `uploads/<hex>@<upstream>.<algorithm>`, which no client can name. In
 * the name of the upstream, each dot is written as `+`, because a second dot marks a temporary file.
 */
export function filesystemFills(data: string, uploads: FilesystemUploads): FillStore {
  const files = new UploadFiles(data)
  /** Deletions in progress, by the ids of the uploads. */
  const deletions = new Map<string, Promise<void>>()
  const remove = (upload: Upload): Promise<void> => {
    const deletion = uploads.cancel(upload).finally(() => {
      if (deletions.get(upload.id) === deletion) deletions.delete(upload.id)
    })
    deletions.set(upload.id, deletion)
    return deletion
  }
  return {
    of: (digest, upstream): Upload => ({
      id: `${hexOf(digest)}@${upstream.replaceAll('.', '+')}${FILL_SUFFIX}`,
      scope: SCOPE,
      algorithm: algorithmOf(digest),
    }),
    async getSize(upload) {
      await deletions.get(upload.id)?.catch(() => {})
      return await uploads.getSize(upload)
    },
    append: (upload, body) => uploads.append(upload, body),
    verify: (upload, digest) => uploads.verify(upload, digest),
    commit: (upload, digest, body) => uploads.commit(upload, digest, body),
    cancel: remove,
    async *list() {
      for await (const { id: name, algorithm, size, changedAt } of files.fills()) {
        yield { upload: { id: name + FILL_SUFFIX, scope: SCOPE, algorithm }, size, changedAt }
      }
    },
    read: (upload, digest) => openFirst([files.ofUpload(upload).path, blobPlace(data, digest).file], digest),
  }
}

/** Opens the file of a fill. If the fill has just ended, its bytes are in the blob. */
async function openFirst([path = '', ...others]: string[], digest: Digest): Promise<GrowingFile> {
  let file: FileHandle
  try {
    file = await open(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT' && others.length > 0)
      return await openFirst(others, digest)
    throw error
  }
  return {
    read: async (into, at) => (await file.read(into, 0, into.length, at)).bytesRead,
    close: () => file.close(),
  }
}
