import { join } from 'node:path'
import { algorithmOf, type ByteRange, type Digest, type DigestAlgorithm, hexOf } from '../oci/reference.ts'

/** Stores bytes by digest. Knows nothing of repositories, tags or accounts. */
export interface BlobStore {
  /** Returns the blob's size, or undefined when the store does not have it. */
  stat(digest: Digest): Promise<BlobStat | undefined>
  /**
   * Opens a part of a blob. The range must be within its size.
   * @throws RegistryError when the store does not have the blob, or has it with another size
   */
  open(blob: BlobStat, range: ByteRange): Promise<BlobBody>
  /** Removes a blob's bytes, if there are any. */
  delete(digest: Digest): Promise<void>
  /** Yields every blob, in no order, with the time of its last write (milliseconds since 1970). */
  list(): AsyncIterable<BlobStat & { changedAt: number }>
}

/** The largest small blob, in bytes. `commit` returns the bytes of small blobs (mostly configs) instead of storing them. */
export const SMALL_BYTES_MAX = 64 * 1024

/** A blob whose content was verified. */
export interface CommittedBlob extends BlobStat {
  /** The bytes of a small blob, which the store does not keep. */
  bytes?: Uint8Array
}

export interface BlobStat {
  digest: Digest
  /** Bytes. */
  size: number
}

/** An upload in progress. */
export interface Upload {
  id: string
  /** What the upload belongs to. The store only compares it: an upload is not found in another scope. */
  scope: string
  /** The digest algorithm that is computed while bytes arrive. */
  algorithm: DigestAlgorithm
}

/** Stores partial content, which is appended to and then published under its digest, or cancelled. */
export interface UploadStore {
  /** Starts an upload. It survives a restart. */
  start(scope: string, algorithm: DigestAlgorithm): Upload
  /** Returns the upload with this id in the scope; undefined once it is published, cancelled or expired. */
  find(scope: string, id: string): Promise<Upload | undefined>
  /** Returns how many bytes the upload has. */
  getSize(upload: Upload): Promise<number>
  /**
   * Appends a body and returns the upload's new size. The received bytes stay even if the body ends early. They survive
   * a crash of the process, but not of the machine.
   *
   * @throws OffsetError when the body does not begin where the upload ends
   * @throws RegistryError 408 for a body that stalls, 413 for one too large, 507 for a full disk
   */
  append(upload: Upload, body: UploadBody): Promise<number>
  /**
   * Appends the last body and verifies the upload's bytes. Those of a small blob are returned, for the caller to store.
   * A larger one is made durable (file, then folder) and published in one atomic step. Bytes that were acknowledged
   * before stay with the upload until it is cancelled, even after an error. Only a failed sync leaves it empty.
   *
   * @throws OffsetError when the upload is not `offset` bytes long
   * @throws RegistryError DIGEST_INVALID when the bytes have another digest
   */
  commit(upload: Upload, digest: Digest, body: UploadBody): Promise<CommittedBlob>
  /** Deletes the upload's bytes. */
  cancel(upload: Upload): Promise<void>
  /** Cancels the uploads that have not grown since `before` (milliseconds since 1970). Returns how many had bytes. */
  expire(before: number): Promise<number>
}

/** Lists and cancels the uploads that have bytes, in every scope, for administrators. */
export interface UploadsInProgress {
  /** Returns at most `limit` uploads after the one named `last`, oldest first. */
  list(last: string, limit: number): Promise<UploadProgress[]>
  /** Returns their count and total bytes. At most `filesMax` files are examined. */
  measure(filesMax: number): Promise<{ uploads: number; bytes: number }>
  /** Cancels an upload by its name, once no request uses it. Returns false when there is none. */
  drop(name: string): Promise<boolean>
}

/** What an upload's file tells about it. Times are milliseconds since 1970. */
export interface UploadProgress {
  /** A part of its id, which does not give access to it. */
  name: string
  /** The scope; undefined when no request has used it since the process started. */
  scope: string | undefined
  size: number
  beganAt: number
  changedAt: number
}

/** Bytes in memory, or a part of a file to stream. */
export type BlobBody = { bytes: Uint8Array } | { file: string; range: ByteRange }

/** A blob of a repository. None of its bytes have been read yet. */
export interface OpenBlob {
  /** Bytes. */
  size: number
  /** Reports whether a range can be sent without the rest of the blob. By default, each can. */
  isSendable?(range: ByteRange): boolean
  /** Reads a range, which must lie within the size. Throws when the bytes cannot be read. */
  read(range: ByteRange): Promise<SentBlob>
}

/** What a client is sent: bytes, a part of a file, or bytes that are still arriving. */
export type SentBlob = BlobBody | FedBody

/** A body that writes itself to a sink at its own pace, such as a download in progress from an upstream. */
export interface FedBody {
  /** Resolves when all bytes are written or the client has disconnected. On rejection the connection must be reset. */
  feed(sink: ByteSink): Promise<void>
}

export interface ByteSink {
  /**
   * Copies the bytes before it returns. Returns true when the sink can take more, either now or once a slow client has
   * caught up, and false when the client has disconnected.
   */
  write(bytes: Uint8Array): boolean | Promise<boolean>
}

/** What to append to an upload. A null stream appends nothing. */
export interface UploadBody {
  /** Read once, when it is this body's turn. */
  readonly stream: ReadableStream<Uint8Array> | null
  /** The offset at which it begins, if the client says. */
  offset?: number | undefined
  /** Reads the whole body instead of the stream, which is cheaper for a small body. */
  bytes?(): Promise<Uint8Array>
  /** Its size in bytes, if the client says. */
  length?: number | undefined
  /**
   * Returns the client that sends it, because large bodies of different clients take turns. By default all count as
   * one client.
   */
  client?: () => string
  /** Whether nothing else holds the stream's chunks, so that their memory can be freed once they are copied. */
  ownsChunks?: boolean
  /** Whether to write bytes as soon as the digester is idle, for readers that follow the file. */
  isEager?: boolean
  /** The maximum size in bytes. Defaults to the store's own limit. */
  bytesMax?: number
  /** How many of the stream's first bytes are left out, because the upload has them. */
  skip?: number
  /** Waits until the next chunk may be read, after one of this many bytes. Waiting is not a stall. */
  pace?: (bytes: number) => Promise<void> | undefined
  /** How long the body may stall before it is abandoned. Defaults to the store's own limit. */
  stallSecondsMax?: number
  /** Whether its sender handles a full disk, so that the store does not free space for it. */
  handlesDiskFull?: boolean
  /** Called with each part written to the file. Its memory is reused afterwards. */
  onWritten?: (part: Uint8Array) => void
}

/** Thrown when a chunk does not begin where the upload ends. */
export class OffsetError extends Error {
  override name = 'OffsetError'
  readonly size: number

  constructor(size: number, offset: number) {
    super(`the chunk begins at byte ${offset}, but the upload has ${size} bytes`)
    this.size = size
  }
}

/** Smaller chunks are left to JavaScript's garbage collector. */
const FREED_BYTES_MIN = 16 * 1024

/**
 * Frees the memory of a chunk immediately, because JavaScript's garbage collector cannot keep up with many fast
 * clients. Nobody else may hold the chunk, which is empty afterwards. A view of a larger buffer is left as it is.
 */
export function freeChunk({ buffer, byteLength }: Uint8Array): void {
  const isWhole = buffer instanceof ArrayBuffer && byteLength === buffer.byteLength
  if (isWhole && byteLength >= FREED_BYTES_MIN) buffer.transfer(0)
}

/** Returns the path of a blob's file: `blobs/<algorithm>/<2 hex>/<hex>` in the data folder. */
export interface BlobPlace {
  file: string
  folder: string
}

export function blobPlace(data: string, digest: Digest): BlobPlace {
  const hex = hexOf(digest)
  const folder = join(blobsFolder(data), algorithmOf(digest), hex.slice(0, 2))
  return { file: join(folder, hex), folder }
}

export function blobsFolder(data: string): string {
  return join(data, 'blobs')
}

/**
 * Stores partial blobs that are downloaded from upstreams. Each is an upload whose file is named by its future digest
 * and its upstream. The name and the length of the file are enough to resume it after an interruption or a restart. The
 * bytes that one upstream sent are never completed, or published, for another one.
 */
export interface FillStore {
  /** Returns the upload of a digest from the upstream of this name, whether or not it has bytes. */
  of(digest: Digest, upstream: string): Upload
  /** Returns how many bytes it has. Waits for a deletion in progress, so that a new fill never continues deleted bytes. */
  getSize(upload: Upload): Promise<number>
  /** Appends a body; see `UploadStore`. */
  append(upload: Upload, body: UploadBody): Promise<number>
  /** Reports whether its bytes have the digest. */
  verify(upload: Upload, digest: Digest): Promise<boolean>
  /** Makes the bytes durable and publishes them; see `UploadStore`. The upload keeps them until it is cancelled. */
  commit(upload: Upload, digest: Digest, body: UploadBody): Promise<CommittedBlob>
  /** Deletes the upload's bytes. A new fill waits for it. */
  cancel(upload: Upload): Promise<void>
  /** Lists the partial blobs on the disk, also those that are growing. */
  list(): AsyncIterable<PartialBlob>
  /** Opens the growing file, or the blob that it has become. It stays readable to the end. */
  read(upload: Upload, digest: Digest): Promise<GrowingFile>
}

/** A partial blob on the disk. */
export interface PartialBlob {
  upload: Upload
  /** In bytes. */
  size: number
  /** When it last grew, by the clock of the machine, in milliseconds since 1970. */
  changedAt: number
}

/** A file that may grow while it is read. */
export interface GrowingFile {
  /** Reads into memory from an offset. Returns the number of bytes read, 0 at the end. */
  read(into: Uint8Array, at: number): Promise<number>
  close(): Promise<void>
}
