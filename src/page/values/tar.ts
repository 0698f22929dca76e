/** The size of a block, to which headers and contents are padded (POSIX pax, "ustar Interchange Format"). */
const BLOCK = 512

/** A regular file in a tar archive. */
export interface TarFile {
  path: string
  bytes: Uint8Array
}

/**
 * Returns the regular files of a tar archive. An archive that is cut off, or is none, ends with the last file that is
 * whole. Names of more than 255 characters are not read.
 */
export function* readTar(archive: Uint8Array): Generator<TarFile> {
  for (let at = 0; at + BLOCK <= archive.length; ) {
    const header = archive.subarray(at, at + BLOCK)
    const size = Number.parseInt(textOf(header, 124, 12), 8)
    if (!Number.isSafeInteger(size) || size < 0) return
    const start = at + BLOCK
    if (start + size > archive.length) return
    const prefix = textOf(header, 345, 155)
    const name = textOf(header, 0, 100)
    const type = textOf(header, 156, 1)
    if (type === '0' || type === '') {
      yield { path: prefix === '' ? name : `${prefix}/${name}`, bytes: archive.subarray(start, start + size) }
    }
    at = start + Math.ceil(size / BLOCK) * BLOCK
  }
}

/** Returns a field of a header, which a NUL ends. */
function textOf(header: Uint8Array, start: number, length: number): string {
  const field = header.subarray(start, start + length)
  const end = field.indexOf(0)
  return new TextDecoder().decode(end === -1 ? field : field.subarray(0, end)).trim()
}

/** Decompresses a gzip stream up to a limit of bytes, because a small stream can decompress to a very large one. */
export async function gunzip(
  compressed: ReadableStream<Uint8Array<ArrayBuffer>>,
  bytesMax: number,
): Promise<Uint8Array> {
  const reader = compressed.pipeThrough(new DecompressionStream('gzip')).getReader()
  const whole = new Uint8Array(bytesMax)
  let length = 0
  while (length < bytesMax) {
    const { value, done } = await reader.read()
    if (done) return whole.subarray(0, length)
    whole.set(value.subarray(0, bytesMax - length), length)
    length = Math.min(length + value.length, bytesMax)
  }
  await reader.cancel()
  return whole
}
