import type { UploadBody } from '../../domain/blob-body.ts'
import type { Digest } from '../../oci/digest.ts'
import type { CommittedBlob, Upload } from '../blob-store.ts'

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
