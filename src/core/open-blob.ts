import type { ByteRange } from '../oci/range.ts'
import type { BlobBody } from '../storage/blob-store.ts'

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

/** Reads a whole blob into memory; undefined when it has more than `bytesMax` bytes. */
export async function readBlob(blob: OpenBlob, bytesMax: number): Promise<Uint8Array | undefined> {
  if (blob.size > bytesMax) return undefined
  const body = await blob.read({ start: 0, end: blob.size })
  if ('bytes' in body) return body.bytes
  if ('file' in body) return await Bun.file(body.file).slice(body.range.start, body.range.end).bytes()
  const bytes = new Uint8Array(blob.size)
  let filled = 0
  await body.feed({
    write(part) {
      bytes.set(part, filled)
      filled += part.length
      return true
    },
  })
  return bytes
}
