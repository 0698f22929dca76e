import type { ByteRange } from '../oci/range.ts'

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
