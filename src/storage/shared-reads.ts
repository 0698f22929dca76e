import type { GrowingFile } from './blob-store.ts'

/** A part of a file in memory. */
interface Chunk {
  bytes: Uint8Array
  /** How much of it is read. */
  length: number
  /** The read in progress. */
  reading: Promise<void> | undefined
  users: number
}

/**
 * Reads files that many clients follow. Bytes that were just written, or that one client has read, are served to the
 * others from memory. The memory is fixed, and none of it is held for a slow client.
 */
export class SharedReads {
  private readonly chunkBytes: number
  private readonly chunksMax: number
  private readonly chunks = new Map<string, Chunk>()
  private readonly waiting: (() => void)[] = []
  private made = 0

  constructor(bytesMax: number, chunkBytes: number) {
    this.chunkBytes = chunkBytes
    this.chunksMax = Math.max(1, Math.floor(bytesMax / chunkBytes))
  }

  /**
   * Calls `use` with the bytes from `at`, at most to the end of their chunk and to `end`, which must be in the file.
   * The bytes are valid until it returns.
   *
   * @param id identifies the file, and is never reused
   */
  use<T>(
    id: string,
    file: GrowingFile,
    at: number,
    end: number,
    use: (bytes: Uint8Array) => T,
  ): T | Promise<T> {
    const index = Math.floor(at / this.chunkBytes)
    const key = `${id}/${index}`
    const start = index * this.chunkBytes
    const wanted = Math.min(end - start, this.chunkBytes)
    const chunk = this.find(key)
    // Bytes in memory need no promise. With many clients, promises would be most of the garbage.
    if (chunk !== undefined && chunk.length >= wanted) return use(chunk.bytes.subarray(at - start, wanted))
    return this.read(key, file, start, wanted, (bytes) => use(bytes.subarray(at - start)))
  }

  /** Reads a chunk as far as needed, and calls `use` with all of it. */
  private async read<T>(
    key: string,
    file: GrowingFile,
    start: number,
    wanted: number,
    use: (bytes: Uint8Array) => T,
  ): Promise<T> {
    const chunk = await this.take(key)
    try {
      while (chunk.length < wanted) await this.readOn(chunk, file, start, wanted)
      return use(chunk.bytes.subarray(0, wanted))
    } finally {
      chunk.users--
      if (chunk.users === 0) this.waiting.shift()?.()
    }
  }

  /**
   * Keeps bytes that were just written to a file, so that clients that follow it closely cause no reads. Bytes are
   * skipped if those before them in their chunk are not in memory.
   */
  keep(id: string, at: number, bytes: Uint8Array): void {
    for (let done = 0; done < bytes.length; ) {
      const position = at + done
      const index = Math.floor(position / this.chunkBytes)
      const from = position - index * this.chunkBytes
      const part = bytes.subarray(done, done + this.chunkBytes - from)
      const key = `${id}/${index}`
      const chunk = this.find(key) ?? (from === 0 ? this.make(key) : undefined)
      if (chunk?.length === from && chunk.reading === undefined) {
        chunk.bytes.set(part, from)
        chunk.length = from + part.length
      }
      done += part.length
    }
  }

  /** Lets one client read the chunk; the others wait for it. */
  private async readOn(chunk: Chunk, file: GrowingFile, start: number, wanted: number): Promise<void> {
    if (chunk.reading !== undefined) return await chunk.reading
    const from = chunk.length
    chunk.reading = file.read(chunk.bytes.subarray(from, wanted), start + from).then((count) => {
      if (count === 0) throw new Error('a file that is followed is shorter than it was')
      chunk.length = from + count
    })
    try {
      await chunk.reading
    } finally {
      chunk.reading = undefined
    }
  }

  /** Returns the chunk of a key, and counts one more user. */
  private async take(key: string): Promise<Chunk> {
    for (;;) {
      const chunk = this.find(key) ?? this.make(key)
      if (chunk !== undefined) {
        chunk.users++
        return chunk
      }
      await new Promise<void>((resolve) => this.waiting.push(resolve))
    }
  }

  /** Returns the chunk of a key, and marks it as the most recently used. */
  private find(key: string): Chunk | undefined {
    const chunk = this.chunks.get(key)
    if (chunk === undefined) return undefined
    this.chunks.delete(key)
    this.chunks.set(key, chunk)
    return chunk
  }

  /** Returns an empty chunk for a key; undefined if all memory is in use. */
  private make(key: string): Chunk | undefined {
    const bytes = this.takeMemory()
    if (bytes === undefined) return undefined
    const chunk = { bytes, length: 0, reading: undefined, users: 0 }
    this.chunks.set(key, chunk)
    return chunk
  }

  /** Returns unused memory, the least recently used first. */
  private takeMemory(): Uint8Array | undefined {
    if (this.made < this.chunksMax) {
      this.made++
      return new Uint8Array(this.chunkBytes)
    }
    for (const [key, { users, bytes }] of this.chunks) {
      if (users > 0) continue
      this.chunks.delete(key)
      return bytes
    }
    return undefined
  }
}
