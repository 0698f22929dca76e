import type { OpenBlob } from '../domain/blob-body.ts'

/** Reads a whole blob into memory. Returns undefined when it is larger than `bytesMax` bytes. */
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
