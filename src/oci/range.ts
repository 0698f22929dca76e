/** A part of a blob: `start` is the first byte, `end` the byte after the last. */
export interface ByteRange {
  start: number
  end: number
}

/**
 * Parses a `Range` header against a representation of `size` bytes (RFC 9110, 14.1.2).
 * Returns undefined when the whole representation should be sent, because the header is malformed, has another unit, or
 * asks for several ranges. A server may ignore all of these. `unsatisfiable` means 416.
 */
export function parseRange(header: string, size: number): ByteRange | 'unsatisfiable' | undefined {
  const match = /^bytes=(\d{0,16})-(\d{0,16})$/i.exec(header.replaceAll(' ', ''))
  if (!match) return undefined
  const [, first = '', last = ''] = match
  if (first === '') {
    if (last === '') return undefined
    const length = Math.min(Number(last), size)
    return length === 0 ? 'unsatisfiable' : { start: size - length, end: size }
  }
  const start = Number(first)
  if (last !== '' && Number(last) < start) return 'unsatisfiable'
  if (start >= size) return 'unsatisfiable'
  return { start, end: last === '' ? size : Math.min(Number(last) + 1, size) }
}

/**
 * Parses the `Content-Range` of a chunk, `<start>-<end>` with both inclusive (distribution-spec, "Pushing a blob in
 * chunks"). Also accepts the form of RFC 9110 (`bytes 0-9/*`). Returns undefined when it is malformed.
 */
export function parseContentRange(header: string): { start: number; last: number } | undefined {
  const match = /^(?:bytes[ =])?(\d{1,16})-(\d{1,16})(?:\/(?:\*|\d{1,16}))?$/i.exec(header.trim())
  if (!match) return undefined
  return { start: Number(match[1]), last: Number(match[2]) }
}

/** Formats the `Range` header of an upload: `0-<last byte>`, or `0-0` when there are no bytes yet. */
export function formatUploadRange(size: number): string {
  return `0-${Math.max(0, size - 1)}`
}
