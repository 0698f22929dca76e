import { TarError } from './tar-reader.ts'

/** A layer to read: the path of its file, or its bytes if they are in the database. */
export type LayerContent = string | Uint8Array<ArrayBuffer>

/** A part of a layer as its compressed bytes were read so far. */
export interface LayerStream {
  stream: ReadableStream<Uint8Array>
  /** Returns how many bytes of the file were read. */
  bytesRead: () => number
}

type Compression = 'gzip' | 'zstd' | undefined

/** Detects how a layer is compressed by its first bytes: media types are not always right. */
export async function compressionOf(content: LayerContent): Promise<Compression> {
  const [a, b, c, d] = await blobOf(content).slice(0, 4).bytes()
  if (a === 0x1f && b === 0x8b) return 'gzip'
  if (a === 0x28 && b === 0xb5 && c === 0x2f && d === 0xfd) return 'zstd'
  // A skippable frame, which zstd:chunked may begin with.
  if (a !== undefined && (a & 0xf0) === 0x50 && b === 0x2a && c === 0x4d && d === 0x18) return 'zstd'
  return undefined
}

/** Opens the uncompressed archive of a layer, from byte `start` on if it is not compressed. */
export async function openLayer(content: LayerContent, start = 0): Promise<LayerStream> {
  const compression = await compressionOf(content)
  let bytesRead = 0
  const blob = blobOf(content)
  const raw = (compression === undefined && start > 0 ? blob.slice(start) : blob).stream()
  if (compression === undefined)
    return { stream: counted(raw, (bytes) => (bytesRead += bytes)), bytesRead: () => bytesRead }
  const compressed = counted(raw, (bytes) => (bytesRead += bytes))
  // The types of Bun and of the DOM disagree about the buffers of chunks.
  const decompressed = compressed.pipeThrough(new DecompressionStream(compression as 'gzip') as never)
  return { stream: decompressed as ReadableStream<Uint8Array>, bytesRead: () => bytesRead }
}

/** Says in words why a layer could not be read. */
export function readingError(error: unknown): Error {
  if (error instanceof TarError) return error
  const { message, name } = error as Error
  // What DecompressionStream throws.
  return name === 'TypeError' ? new TarError(`it cannot be decompressed (${message})`) : (error as Error)
}

function blobOf(content: LayerContent): Blob {
  return typeof content === 'string' ? Bun.file(content) : new Blob([content])
}

function counted(
  stream: ReadableStream<Uint8Array>,
  onBytes: (bytes: number) => void,
): ReadableStream<Uint8Array> {
  return stream.pipeThrough(
    new TransformStream<Uint8Array, Uint8Array>({
      transform(chunk, controller) {
        onBytes(chunk.length)
        controller.enqueue(chunk)
      },
    }),
  )
}
