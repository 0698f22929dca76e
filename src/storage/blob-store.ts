import type { BlobBody, UploadBody } from '../domain/blob-body.ts'
import type { Digest, DigestAlgorithm } from '../oci/digest.ts'
import type { ByteRange } from '../oci/range.ts'

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
