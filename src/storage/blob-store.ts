import type { BlobBody, UploadBody } from '../domain/blob-body.ts'
import type { Digest, DigestAlgorithm } from '../oci/digest.ts'
import type { ByteRange } from '../oci/range.ts'

/** Bytes by digest. Knows nothing of repositories, tags or people. */
export interface BlobStore {
  /** The blob's size, or undefined when the store has no such blob. */
  stat(digest: Digest): Promise<BlobStat | undefined>
  /**
   * Opens a part of a blob; the range is within its size.
   * @throws RegistryError when the store has no such blob, or one of another size
   */
  open(blob: BlobStat, range: ByteRange): Promise<BlobBody>
  /** Removes a blob's bytes; no error when there are none. */
  delete(digest: Digest): Promise<void>
  /** Every blob, in no order, with when its bytes were last written (milliseconds since 1970). */
  list(): AsyncIterable<BlobStat & { changedAt: number }>
}

/** Blobs up to this size (configs, mostly) are not the store's to keep: their bytes are given to whoever commits them. */
export const SMALL_BYTES_MAX = 64 * 1024

/** A blob whose content was verified. */
export interface CommittedBlob extends BlobStat {
  /** All of it, where it is small: the store keeps nothing of it. */
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
  /** What it belongs to, a name that means nothing to the store: by another name it is not found. */
  scope: string
  /** The algorithm that is computed while the bytes come. */
  algorithm: DigestAlgorithm
}

/** Partial content: appended to, then published by its digest or dropped. */
export interface UploadStore {
  /** Names a new upload, which is known from then on, also to a process that starts anew. */
  start(scope: string, algorithm: DigestAlgorithm): Upload
  /** The upload of this id in its scope, while it is neither published, cancelled nor expired. */
  find(scope: string, id: string): Promise<Upload | undefined>
  /** The bytes that the upload has. */
  getSize(upload: Upload): Promise<number>
  /**
   * Appends a body and answers the upload's new size. What arrived stays, also when the body breaks off.
   * The answer survives the end of the process, not of the machine.
   *
   * @throws OffsetError when the body does not begin where the upload ends
   * @throws RegistryError 408 for a body that stalls, 413 for one too large, 507 for a full disk
   */
  append(upload: Upload, body: UploadBody): Promise<number>
  /**
   * Appends the last body and verifies the upload's bytes. Those of a small blob are answered, for the caller to store.
   * A larger one is made durable (file, then folder), and published in one atomic step.
   * What an answer has acknowledged before stays with the upload until that is cancelled, also after an error; only
   * a failed sync leaves it empty.
   *
   * @throws OffsetError when the upload is not `offset` bytes long
   * @throws RegistryError DIGEST_INVALID when the bytes have another digest
   */
  commit(upload: Upload, digest: Digest, body: UploadBody): Promise<CommittedBlob>
  /** Drops the upload's bytes. */
  cancel(upload: Upload): Promise<void>
  /** Cancels the uploads that did not grow since `before` (milliseconds since 1970); answers how many had bytes. */
  expire(before: number): Promise<number>
}

/** The uploads that have bytes, whichever scope they belong to, for whoever looks after the store. */
export interface UploadsInProgress {
  /** At most `limit` of them, those that began first, after the one named `last`. */
  list(last: string, limit: number): Promise<UploadProgress[]>
  /** What all of them have together; of more than `filesMax` files the rest is not looked at. */
  measure(filesMax: number): Promise<{ uploads: number; bytes: number }>
  /** Drops one by its name, as soon as nobody works on it. Answers false when there is none. */
  drop(name: string): Promise<boolean>
}

/** An upload as its file tells of it. Times are milliseconds since 1970. */
export interface UploadProgress {
  /** A part of its id, which gives no right to it. */
  name: string
  /** The scope; undefined when nobody worked on it since the process began. */
  scope: string | undefined
  size: number
  beganAt: number
  changedAt: number
}
