import { isDiskFull, registryError } from '../oci/error.ts'
import { algorithmOf, type Digest, type DigestAlgorithm, digestFromHex, digestOf } from '../oci/reference.ts'
import { appendBody, type Turns } from './append.ts'
import {
  type BlobPlace,
  type CommittedBlob,
  OffsetError,
  SMALL_BYTES_MAX,
  type Upload,
  type UploadBody,
} from './blob-store.ts'
import type { Digester, FilledSlot, SlotPool, UploadFile, VerifiedFile } from './digesters.ts'
import type { Publishers } from './publishers.ts'
import type { UploadFiles } from './upload-files.ts'

/** The dependencies that all sessions of a store share. */
export interface SessionMeans {
  files: UploadFiles
  pool: SlotPool
  turns: Turns
  publishers: Publishers
  /** The largest blob, in bytes. */
  blobBytesMax: number
  /** How long a body may stall before it is abandoned. */
  stallSecondsMax: number
  /** Chooses the digester that writes an upload's file. */
  takeDigester: () => Digester
  /** Returns the path of a blob's file. */
  placeOf: (digest: Digest) => BlobPlace
  /** Called for each received part of a body, with its size in bytes. */
  onReceived: (bytes: number) => void
  /** Waits until there is room for bytes of a push that have arrived. */
  pace?: ((bytes: number) => Promise<void> | undefined) | undefined
  /** Frees space when the disk is full. Resolves to false when there is nothing to free. */
  onDiskFull?: (() => Promise<boolean>) | undefined
  /** Called when a session was cancelled, before another request can use it. */
  onEnded: (session: UploadSession) => void
}

/**
 * The state of one upload in progress. Acknowledged bytes are in its file. An upload of a single small body never has a
 * file. Requests use it one at a time, each continuing where the previous one ended.
 */
export class UploadSession {
  readonly upload: Upload
  readonly file: UploadFile
  private readonly means: SessionMeans
  private readonly digester: Digester
  /** How many bytes the file has; undefined when there is no file. */
  private fileSize: number | undefined
  /** Whether the digester has the file and its hash open. */
  private isOpen = false
  private requests = 0
  private hasEnded = false
  private last: Promise<unknown> = Promise.resolve()

  /** @param fileSize the size of the upload's existing file in bytes; undefined when there is none */
  constructor(upload: Upload, means: SessionMeans, fileSize: number | undefined) {
    this.upload = upload
    this.file = means.files.ofUpload(upload)
    this.means = means
    this.digester = means.takeDigester()
    this.fileSize = fileSize
  }

  /** Bytes. */
  get size(): number {
    return this.fileSize ?? 0
  }

  get hasFile(): boolean {
    return this.fileSize !== undefined
  }

  /** Whether a request uses it, or waits for it. */
  get isBusy(): boolean {
    return this.requests > 0
  }

  /** Appends a body to the file and returns the new size. See UploadStore. */
  append(body: UploadBody): Promise<number> {
    return this.exclusively(async () => {
      await this.receive(body, false)
      return this.size
    })
  }

  /** Reports whether the file has this digest. */
  verify(digest: Digest): Promise<boolean> {
    return this.exclusively(async () => {
      await this.openFile()
      const algorithm = algorithmOf(digest)
      const verify = { do: 'verify', upload: this.file, algorithm, part: undefined } as const
      const { hex } = await this.digester.ask<VerifiedFile>(verify)
      return digestFromHex(algorithm, hex) === digest
    })
  }

  /** Appends the last body and makes the upload a blob. See UploadStore. */
  commit(digest: Digest, body: UploadBody): Promise<CommittedBlob> {
    return this.exclusively(async () => {
      if (!this.hasFile && isSmallBody(body, this.means.blobBytesMax)) return await this.take(digest, body)
      const keep = this.size > 0
      const tail = await this.receive(body, true)
      if (tail) this.means.onReceived(tail.length)
      try {
        const isSmall = tail === undefined || tail.length <= SMALL_BYTES_MAX
        if (!isSmall || this.hasFile) return await this.publish(digest, tail, keep)
        return verified(digest, tail ? new Uint8Array(this.means.pool.view(tail)) : new Uint8Array())
      } finally {
        if (tail) this.means.pool.give(tail.slot)
      }
    })
  }

  /** Deletes its bytes. Waiting requests then fail, because the upload no longer exists. */
  cancel(): Promise<void> {
    return this.exclusively(async () => {
      this.hasEnded = true
      this.means.onEnded(this)
      if (this.hasFile) await this.digester.ask({ do: 'drop', upload: this.file })
    })
  }

  /** Closes the file. A later session of the same upload continues with it. */
  async close(): Promise<void> {
    if (this.hasFile) await this.digester.ask({ do: 'close', upload: this.file })
  }

  private async exclusively<T>(work: () => Promise<T>): Promise<T> {
    const before = this.last
    const { promise, resolve } = Promise.withResolvers<void>()
    this.last = promise
    this.requests++
    try {
      await before
      if (this.hasEnded) throw registryError('BLOB_UPLOAD_UNKNOWN')
      return await work()
    } catch (error) {
      this.isOpen = false
      this.fileSize = await this.means.files.findSize(this.file)
      throw error
    } finally {
      this.requests--
      resolve()
    }
  }

  private async receive(body: UploadBody, keepTail: boolean): Promise<FilledSlot | undefined> {
    await this.openFile()
    this.checkOffset(body)
    if (body.length === 0) return undefined
    const { means, digester, file } = this
    const onWritten = (part: Uint8Array) => {
      this.fileSize = this.size + part.length
      body.onWritten?.(part)
      means.onReceived(part.length)
    }
    const { bytesMax = means.blobBytesMax - this.size, stallSecondsMax = means.stallSecondsMax } = body
    const given = { bytesMax, stallSecondsMax, onWritten, fileSize: this.size }
    return await appendBody(body, { ...means, ...given, digester, upload: file }, keepTail)
  }

  /** Hashes the file again, unless the digester still has it open. */
  private async openFile(): Promise<void> {
    if (this.hasFile && !this.isOpen)
      this.fileSize = await this.digester.ask<number>({ do: 'open', upload: this.file })
    this.isOpen = true
  }

  private checkOffset({ offset }: UploadBody): void {
    if (offset !== undefined && offset !== this.size) throw new OffsetError(this.size, offset)
  }

  /** Receives a small blob in a single body, which needs neither a file nor a slot. */
  private async take(digest: Digest, body: SmallBody): Promise<CommittedBlob> {
    this.checkOffset(body)
    const bytes = await readSmallBody(body, body.stallSecondsMax ?? this.means.stallSecondsMax)
    this.means.onReceived(bytes.length)
    if (bytes.length === body.length) return verified(digest, bytes)
    throw registryError('SIZE_INVALID', `the body has ${bytes.length} bytes instead of ${body.length}`)
  }

  /** Writes the tail. While the disk is full and space can be freed for it, tries again. */
  private async finish(algorithm: DigestAlgorithm, tail: FilledSlot | undefined) {
    for (;;) {
      try {
        const verify = { do: 'verify', upload: this.file, algorithm, part: tail } as const
        return await this.digester.ask<VerifiedFile>(verify)
      } catch (error) {
        if (!isDiskFull(error) || !(await this.means.onDiskFull?.())) throw error
        await this.digester.ask({ do: 'open', upload: this.file })
      }
    }
  }

  private async publish(digest: Digest, tail: FilledSlot | undefined, keep: boolean): Promise<CommittedBlob> {
    const algorithm = algorithmOf(digest)
    const { path } = this.file
    const { size, hex, bytes, fd, isPublished } = await this.finish(algorithm, tail)
    this.fileSize = size
    verify(digest, digestFromHex(algorithm, hex), size)
    if (bytes) return { digest, size, bytes }
    const place = this.means.placeOf(digest)
    try {
      await this.means.publishers.publish({ path, fd, isPublished, keep, place })
    } finally {
      this.isOpen = false
      await this.close()
    }
    if (!keep) this.fileSize = undefined
    return { digest, size }
  }
}

function verified(digest: Digest, bytes: Uint8Array): CommittedBlob {
  verify(digest, digestOf(bytes, algorithmOf(digest)), bytes.length)
  return { digest, size: bytes.length, bytes }
}

function verify(digest: Digest, actual: Digest, size: number): void {
  if (actual === digest) return
  throw registryError('DIGEST_INVALID', `the content (${size} bytes) is ${actual}, not ${digest}`)
}

/** The rate of a very slow connection. */
const SLOW_BYTES_PER_SECOND = 512

/** A body that announces a small length, and can be read as a whole. */
type SmallBody = UploadBody & Required<Pick<UploadBody, 'bytes'>> & { length: number }

function isSmallBody(body: UploadBody, bytesMax: number): body is SmallBody {
  const { bytes, length } = body
  return bytes !== undefined && length !== undefined && length <= Math.min(SMALL_BYTES_MAX, bytesMax)
}

/** Reads a small body. It may take the stall time, plus the time that a very slow connection needs. */
async function readSmallBody(body: SmallBody, stallSecondsMax: number): Promise<Uint8Array> {
  const late = Promise.withResolvers<never>()
  const seconds = stallSecondsMax + body.length / SLOW_BYTES_PER_SECOND
  const timer = setTimeout(() => {
    const message = `the body of ${body.length} bytes did not arrive within ${Math.round(seconds)} seconds: send it again`
    late.reject(registryError('BLOB_UPLOAD_INVALID', message, { status: 408 }))
  }, seconds * 1000)
  try {
    return await Promise.race([body.bytes(), late.promise])
  } finally {
    clearTimeout(timer)
  }
}
