import type { TarHeader } from './tar-header.ts'

/**
 * Parses the records of an extended header (POSIX.1-2001, pax, "pax Extended Header"). Returns undefined if one is not
 * valid, as Go's archive/tar does, so that what a runtime would refuse is refused here, too.
 */
export function parsePax(bytes: Uint8Array): Partial<TarHeader> | undefined {
  const found: Partial<TarHeader> = {}
  let at = 0
  while (at < bytes.length) {
    const space = bytes.indexOf(SPACE, at)
    if (space === -1 || space - at > LENGTH_DIGITS_MAX) return undefined
    const length = integerOf(textOf(bytes.subarray(at, space)))
    const end = at + (length ?? 0)
    const equals = bytes.indexOf(EQUALS, space)
    if (length === undefined || end > bytes.length || bytes[end - 1] !== NEWLINE) return undefined
    if (equals === -1 || equals >= end || equals === space + 1) return undefined
    const isValid = take(
      found,
      textOf(bytes.subarray(space + 1, equals)),
      bytes.subarray(equals + 1, end - 1),
    )
    if (!isValid) return undefined
    at = end
  }
  return found
}

const SPACE = 0x20
const EQUALS = 0x3d
const NEWLINE = 0x0a
const LENGTH_DIGITS_MAX = 10

/** Takes over one record. Returns false if its value is not valid. */
function take(found: Partial<TarHeader>, key: string, value: Uint8Array): boolean {
  switch (key) {
    case 'path':
    case 'GNU.sparse.name':
      found.name = value
      return value.length > 0 && !value.includes(0)
    case 'linkpath':
      found.link = value
      return !value.includes(0)
    case 'size':
    case 'uid':
    case 'gid': {
      const number = integerOf(textOf(value))
      if (number !== undefined) found[key] = number
      return number !== undefined
    }
    case 'mtime': {
      const seconds = Number(textOf(value))
      if (Number.isFinite(seconds)) found.mtime = seconds
      return Number.isFinite(seconds)
    }
    case 'GNU.sparse.realsize':
    case 'GNU.sparse.size': {
      const size = integerOf(textOf(value))
      if (size !== undefined) found.sparseSize = size
      return size !== undefined
    }
    default:
      return true
  }
}

function integerOf(text: string): number | undefined {
  const number = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN
  return Number.isSafeInteger(number) ? number : undefined
}

function textOf(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes.subarray(0, 256))
}
