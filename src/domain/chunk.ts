/** Smaller chunks are left to the collector. */
const FREED_BYTES_MIN = 16 * 1024

/**
 * Gives the memory of a chunk back at once: many fast clients bring more than the collector frees in time. The chunk
 * must be nobody else's, and is empty afterwards; a view of a larger buffer is left as it is.
 */
export function freeChunk({ buffer, byteLength }: Uint8Array): void {
  const isWhole = buffer instanceof ArrayBuffer && byteLength === buffer.byteLength
  if (isWhole && byteLength >= FREED_BYTES_MIN) buffer.transfer(0)
}
