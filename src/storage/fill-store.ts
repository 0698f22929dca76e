import type { UploadBody } from '../domain/blob-body.ts'
import type { Digest } from '../oci/digest.ts'
import type { CommittedBlob, Upload } from './blob-store.ts'

/**
 * Partial blobs that come from upstreams. One is an upload whose file is named by the digest that it will have: that
 * name and its length are all that going on after a break, or a restart, needs.
 */
export interface FillStore {
  /** The upload of a digest, whether anything of it is here or not. */
  of(digest: Digest): Upload
  /** The bytes that are here. */
  getSize(upload: Upload): Promise<number>
  /** Appends a body; see `UploadStore`. */
  append(upload: Upload, body: UploadBody): Promise<number>
  /** Whether the bytes that are here have the digest. */
  verify(upload: Upload, digest: Digest): Promise<boolean>
  /** Makes the bytes durable and publishes them; see `UploadStore`. The upload keeps them until it is cancelled. */
  commit(upload: Upload, digest: Digest, body: UploadBody): Promise<CommittedBlob>
  /** Drops the upload's bytes. */
  cancel(upload: Upload): Promise<void>
  /** Drops partial blobs that did not grow since `before` (milliseconds since 1970); answers their bytes. */
  expire(before: number, isKept: (digest: Digest) => boolean): Promise<number>
  /** Opens the bytes for reading while they grow, or the blob that they have become; they can be read to the end. */
  read(upload: Upload, digest: Digest): Promise<GrowingFile>
}

/** A file that may grow while it is read. */
export interface GrowingFile {
  /** Reads into memory from a byte on; answers how many bytes came, 0 at the end. */
  read(into: Uint8Array, at: number): Promise<number>
  close(): Promise<void>
}
