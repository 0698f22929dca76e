/** The header of a tar member. Names are bytes, because nothing says how they are encoded. */
export interface TarHeader {
  name: Uint8Array
  /** The target of a link. */
  link: Uint8Array
  /** The type flag: '0' for a file, '5' for a directory, and so on. */
  flag: string
  /** Bytes of content in the archive. */
  size: number
  mode: number
  uid: number
  gid: number
  /** Seconds since 1970; may have a fraction. */
  mtime: number
  /** The size of a sparse file, whose content in the archive leaves out its holes. */
  sparseSize?: number
}

/** Parses a header block. Returns what is wrong with it if it is not valid. */
export function headerOf(block: Uint8Array): TarHeader | string {
  if (!hasChecksum(block)) return 'the archive has an invalid header checksum'
  const [mode, uid, gid, size, mtime] = [
    numberAt(block, 100, 8),
    numberAt(block, 108, 8),
    numberAt(block, 116, 8),
    numberAt(block, 124, 12),
    numberAt(block, 136, 12),
  ]
  if (size === undefined || size < 0) return 'the archive has a header with an invalid size'
  const flag = String.fromCharCode(block[156] || 0x30)
  const name = fieldAt(block, 0, 100)
  // Only POSIX archives have a prefix; GNU's have other fields there.
  const prefix = block[262] === 0 && textAt(block, 257, 5) === 'ustar' ? fieldAt(block, 345, 155) : EMPTY
  const isOldDirectory = flag === '0' && name.at(-1) === SLASH
  const sparseSize = flag === 'S' ? numberAt(block, 483, 12) : undefined
  return {
    name: prefix.length === 0 ? name : joined(prefix, name),
    link: fieldAt(block, 157, 100),
    flag: isOldDirectory ? '5' : flag,
    size,
    mode: (mode ?? 0) & 0o7777,
    uid: uid ?? 0,
    gid: gid ?? 0,
    mtime: mtime ?? 0,
    ...(flag === 'S' && { sparseSize: sparseSize ?? size }),
  }
}

export function isZero(block: Uint8Array): boolean {
  for (let at = 0; at < block.length; at++) if (block[at] !== 0) return false
  return true
}

const EMPTY = new Uint8Array(0)
const SLASH = 0x2f
const CHECKSUM_START = 148
const CHECKSUM_END = 156

function hasChecksum(block: Uint8Array): boolean {
  const stored = numberAt(block, CHECKSUM_START, CHECKSUM_END - CHECKSUM_START)
  let sum = 0x20 * (CHECKSUM_END - CHECKSUM_START)
  for (let at = 0; at < CHECKSUM_START; at++) sum += block[at] ?? 0
  for (let at = CHECKSUM_END; at < block.length; at++) sum += block[at] ?? 0
  return stored === sum || stored === sum - 256 * negativeBytes(block)
}

/** Old archives sum signed bytes. Returns how many are negative. */
function negativeBytes(block: Uint8Array): number {
  return block.filter((byte, at) => byte > 127 && (at < CHECKSUM_START || at >= CHECKSUM_END)).length
}

/** Parses a number: octal, or in base 256 if its first bit is set. Returns undefined if it is neither. */
function numberAt(block: Uint8Array, start: number, length: number): number | undefined {
  const first = block[start] ?? 0
  if (first & 0x80) {
    const isNegative = (first & 0x40) !== 0
    let value = isNegative ? (first & 0x3f) - 0x40 : first & 0x3f
    for (let at = start + 1; at < start + length; at++) value = value * 256 + (block[at] ?? 0)
    return Number.isSafeInteger(value) ? value : undefined
  }
  let value = 0
  let hasDigit = false
  for (let at = start; at < start + length; at++) {
    const byte = block[at] ?? 0
    if (byte >= 0x30 && byte <= 0x37) {
      value = value * 8 + byte - 0x30
      hasDigit = true
    } else if (byte !== 0x20 && byte !== 0) return undefined
    else if (hasDigit) break
  }
  return value
}

/** Returns a field up to its first NUL, as a copy. */
function fieldAt(block: Uint8Array, start: number, length: number): Uint8Array {
  if (block[start] === 0) return EMPTY
  const end = block.indexOf(0, start)
  return block.slice(start, end === -1 ? start + length : Math.min(end, start + length))
}

function textAt(block: Uint8Array, start: number, length: number): string {
  return String.fromCharCode(...block.subarray(start, start + length))
}

function joined(prefix: Uint8Array, name: Uint8Array): Uint8Array {
  const both = new Uint8Array(prefix.length + 1 + name.length)
  both.set(prefix)
  both[prefix.length] = SLASH
  both.set(name, prefix.length + 1)
  return both
}
