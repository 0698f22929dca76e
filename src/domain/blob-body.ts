import type { ByteRange } from '../oci/range.ts'

/** Bytes in memory, or a part of a file, to be streamed. */
export type BlobBody = { bytes: Uint8Array } | { file: string; range: ByteRange }

/** A blob that a repository has. None of its bytes have been read yet. */
export interface OpenBlob {
  /** Bytes. */
  size: number
  /** Reads a range, which must lie within the size. Throws when the bytes cannot be read. */
  read(range: ByteRange): Promise<SentBlob>
}

/** What a client is sent: bytes, a part of a file, or bytes that come while they are sent. */
export type SentBlob = BlobBody | FedBody

/** A body that writes itself to a sink, at its own pace: a download from an upstream that is still running. */
export interface FedBody {
  /** Resolves when all bytes are written or the client has left. When it rejects, the connection must be reset. */
  feed(sink: ByteSink): Promise<void>
}

export interface ByteSink {
  /**
   * Copies the bytes before it returns. Answers true when the sink can take more, at once or as soon as a slow client
   * has caught up, and false when the client has left.
   */
  write(bytes: Uint8Array): boolean | Promise<boolean>
}

/** What is appended to an upload; a stream of null adds nothing. */
export interface UploadBody {
  /** Asked for once, when it is the body's turn to be read. */
  readonly stream: ReadableStream<Uint8Array> | null
  /** The byte that it begins at, when the client says so. */
  offset?: number | undefined
  /** All of it at once, instead of the stream, which costs more for a small body. */
  bytes?(): Promise<Uint8Array>
  /** Its size in bytes, when the client says so. */
  length?: number | undefined
  /** Nobody else has the stream's chunks: a chunk's memory may be given back as soon as it is copied. */
  ownsChunks?: boolean
  /** Bytes are written as soon as the digester is idle, for readers that follow the file. */
  isEager?: boolean
  /** The most bytes that it may bring; by default the store's own limit. */
  bytesMax?: number
  /** A body that brings nothing for so long is given up; by default after the store's own limit. */
  stallSecondsMax?: number
  /** Told of each part that is in the file, with its size in bytes. */
  onWritten?: (bytes: number) => void
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
