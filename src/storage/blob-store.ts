import type { Digest, DigestAlgorithm } from '../oci/digest.ts'
import type { ByteRange } from '../oci/range.ts'

/** Bytes by digest. Knows nothing of repositories, tags or people. */
export interface BlobStore {
  /** The blob's size, or undefined when the store has no such blob. */
  stat(digest: Digest): Promise<BlobStat | undefined>
  /** What a client is sent; the range is within the blob's size. Throws when the store has no such blob. */
  open(digest: Digest, range: ByteRange): Promise<BlobBody>
  /** Removes a blob's bytes; no error when there are none. */
  delete(digest: Digest): Promise<void>
  /** Every blob, in no order. */
  list(): AsyncIterable<BlobStat>
}

export interface BlobStat {
  digest: Digest
  /** Bytes. */
  size: number
}

/** Bytes in memory, or a part of a file, to be streamed. */
export type BlobBody = { bytes: Uint8Array } | { file: string; range: ByteRange }

/** An upload in progress. Whoever holds it keeps its algorithm, as the store keeps only its bytes. */
export interface Upload {
  id: string
  /** The algorithm that is computed while the bytes come. */
  algorithm: DigestAlgorithm
}

/** What is appended to an upload; a stream of null adds nothing. */
export interface UploadBody {
  stream: ReadableStream<Uint8Array> | null
  /** The byte that it begins at, when the client says so. */
  offset?: number | undefined
  /** Nobody else has the stream's chunks: a chunk's memory may be given back as soon as it is copied. */
  ownsChunks?: boolean
}

/** Partial content: appended to, then published by its digest or dropped. */
export interface UploadStore {
  /** Names a new upload; nothing is on disk before its first byte. */
  start(algorithm: DigestAlgorithm): Upload
  /** The bytes that the upload has, and when it last grew (milliseconds since 1970; undefined before the first byte). */
  stat(upload: Upload): Promise<{ size: number; changedAt: number | undefined }>
  /**
   * Appends a body and answers the upload's new size. What arrived stays, also when the body breaks off.
   * The answer survives the end of the process, not of the machine.
   *
   * @throws OffsetError when the body does not begin where the upload ends
   * @throws RegistryError 408 for a body that stalls, 413 for one too large, 507 for a full disk
   */
  append(upload: Upload, body: UploadBody): Promise<number>
  /**
   * Appends the last body, verifies the upload's bytes, makes them durable (file, then folder), and publishes them in one atomic step.
   * The upload is as it was, also after an error, until it is cancelled; only a failed sync leaves it empty.
   *
   * @throws OffsetError when the upload is not `offset` bytes long
   * @throws RegistryError DIGEST_INVALID when the bytes have another digest
   */
  commit(upload: Upload, digest: Digest, body: UploadBody): Promise<BlobStat>
  /** Drops the upload's bytes. */
  cancel(upload: Upload): Promise<void>
  /** The ids of all uploads that have bytes. */
  list(): Promise<string[]>
}

/** A chunk does not begin where the upload ends. */
export class OffsetError extends Error {
  override name = 'OffsetError'
  readonly size: number

  constructor(size: number, offset: number) {
    super(`the chunk begins at byte ${offset}, but the upload has ${size} bytes`)
    this.size = size
  }
}
