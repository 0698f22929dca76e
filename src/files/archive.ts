const BLOCK_BYTES = 512

/** The largest extended header (PAX, or GNU's long names), in bytes: as in Go's archive/tar, which runtimes use. */
const EXTENDED_BYTES_MAX = 1024 * 1024

/** Thrown when an archive is not a tar archive, is damaged, or exceeds a limit. The message is for people. */
export class TarError extends Error {
  override name = 'TarError'
}

/** A member of an archive. */
export interface TarMember extends TarHeader {
  /** Where its content begins in the uncompressed archive, in bytes. */
  start: number
}

/** Receives what the reader finds, in order. */
export interface TarVisitor {
  begin(member: TarMember): void
  /** A part of the content of the current member. It is only valid during the call. */
  content(bytes: Uint8Array): void
  end(): void
}

/**
 * Reads a tar archive (POSIX.1-2001 pax, ustar, GNU, V7) as its bytes arrive, and buffers at most one extended header.
 * Unlike the libraries, it says where each content begins, and takes about a microsecond for a member.
 */
export class TarReader {
  /** Whether the end of the archive was read. Bytes after it are ignored. */
  isEnded = false
  private readonly visitor: TarVisitor
  private readonly block = new Uint8Array(BLOCK_BYTES)
  private filled = 0
  /** The bytes of the archive before the next block or content. */
  private position = 0
  private state: 'header' | 'zero' | 'sparse-map' | 'extended' | 'content' | 'padding' = 'header'
  private remaining = 0
  private padding = 0
  private member: TarHeader | undefined
  private extended: { flag: string; bytes: Uint8Array; filled: number } | undefined
  /** What extended headers say about the next member. */
  private overrides: Partial<TarHeader> = {}

  constructor(visitor: TarVisitor) {
    this.visitor = visitor
  }

  /** @throws TarError */
  write(chunk: Uint8Array): void {
    let at = 0
    while (at < chunk.length && !this.isEnded) at += this.take(chunk, at)
  }

  /** @throws TarError when the archive is truncated */
  end(): void {
    if (this.isEnded) return
    const isBetweenMembers = this.state === 'header' || this.state === 'zero'
    if (!isBetweenMembers || this.filled > 0 || Object.keys(this.overrides).length > 0)
      throw new TarError(
        this.position === 0
          ? 'it is not a tar archive'
          : `the archive is truncated at byte ${this.position + this.filled}`,
      )
    this.isEnded = true
  }

  /** Consumes bytes of the chunk from `at` on. Returns how many. */
  private take(chunk: Uint8Array, at: number): number {
    const available = chunk.length - at
    switch (this.state) {
      case 'content':
      case 'extended': {
        const length = Math.min(this.remaining, available)
        this.takeContent(chunk.subarray(at, at + length))
        return length
      }
      case 'padding': {
        const length = Math.min(this.padding, available)
        this.position += length
        this.padding -= length
        if (this.padding === 0) this.state = 'header'
        return length
      }
      default: {
        const length = Math.min(BLOCK_BYTES - this.filled, available)
        this.block.set(chunk.subarray(at, at + length), this.filled)
        this.filled += length
        if (this.filled === BLOCK_BYTES) this.takeBlock()
        return length
      }
    }
  }

  private takeContent(bytes: Uint8Array): void {
    this.position += bytes.length
    this.remaining -= bytes.length
    if (this.extended) {
      this.extended.bytes.set(bytes, this.extended.filled)
      this.extended.filled += bytes.length
    } else {
      this.visitor.content(bytes)
    }
    if (this.remaining === 0) this.endContent()
  }

  private endContent(): void {
    const { extended } = this
    this.extended = undefined
    this.state = this.padding > 0 ? 'padding' : 'header'
    if (extended) this.override(extended.flag, extended.bytes)
    else this.visitor.end()
  }

  private takeBlock(): void {
    const { block, state } = this
    this.filled = 0
    const begin = this.position
    this.position += BLOCK_BYTES
    if (state === 'sparse-map') {
      // The map of GNU's old sparse format continues in further blocks.
      if (block[504] === 0) this.beginMember()
      return
    }
    if (isZero(block)) {
      if (state === 'zero') this.isEnded = true
      this.state = 'zero'
      return
    }
    if (state === 'zero')
      throw new TarError(`a zero block at byte ${begin - BLOCK_BYTES} is not the end of the archive`)
    const header = headerOf(block)
    if (typeof header === 'string')
      throw new TarError(begin === 0 ? 'it is not a tar archive' : `${header} at byte ${begin}`)
    this.takeHeader(header, begin)
  }

  private takeHeader(header: TarHeader, begin: number): void {
    const { flag, size } = header
    if (flag === 'x' || flag === 'g' || flag === 'L' || flag === 'K') {
      if (size > EXTENDED_BYTES_MAX)
        throw new TarError(`the extended header at byte ${begin} is larger than ${EXTENDED_BYTES_MAX} bytes`)
      this.extended = { flag, bytes: new Uint8Array(size), filled: 0 }
      this.beginContent(size, 'extended')
      return
    }
    this.member = { ...header, ...this.overrides }
    this.overrides = {}
    this.state = 'sparse-map'
    const hasMoreMap = flag === 'S' && this.block[482] !== 0
    if (!hasMoreMap) this.beginMember()
  }

  private beginMember(): void {
    const { member } = this
    if (member === undefined) return
    this.member = undefined
    // Links, directories and devices have no content, whatever their size says.
    const size = '123456'.includes(member.flag) ? 0 : member.size
    this.visitor.begin({ ...member, size, start: this.position })
    this.beginContent(size, 'content')
  }

  private beginContent(size: number, state: 'content' | 'extended'): void {
    this.remaining = size
    this.padding = -size & (BLOCK_BYTES - 1)
    this.state = state
    if (size === 0) this.endContent()
  }

  private override(flag: string, bytes: Uint8Array): void {
    if (flag === 'L') this.overrides.name = cutAtZero(bytes)
    else if (flag === 'K') this.overrides.link = cutAtZero(bytes)
    else if (flag === 'x') {
      const found = parsePax(bytes)
      if (found === undefined) throw new TarError(`invalid PAX header before byte ${this.position}`)
      Object.assign(this.overrides, found)
    }
  }
}

function cutAtZero(bytes: Uint8Array): Uint8Array {
  const end = bytes.indexOf(0)
  return end === -1 ? bytes : bytes.subarray(0, end)
}

/** The header of a tar member. Names are bytes, because nothing says how they are encoded. */
interface TarHeader {
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
function headerOf(block: Uint8Array): TarHeader | string {
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

function isZero(block: Uint8Array): boolean {
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

/**
 * Parses the records of an extended header (POSIX.1-2001, pax, "pax Extended Header"). Returns undefined if one is not
 * valid, as Go's archive/tar does, so that what a runtime would refuse is refused here, too.
 */
function parsePax(bytes: Uint8Array): Partial<TarHeader> | undefined {
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
