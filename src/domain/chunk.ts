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
