import type { GrowingFile } from './fill-store.ts'

/** A part of a file in memory. */
interface Chunk {
  bytes: Uint8Array
  /** How much of it is read. */
  length: number
  /** The read that is on its way. */
  reading: Promise<void> | undefined
  users: number
}

/**
 * Reads of files that many clients follow. What was just written, or what one client has read, the others get from
 * memory. The memory is fixed, and none of it is held while a slow client is waited for.
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
   * Gives `use` the bytes from `at` on: at most to the end of their chunk, and none behind `end`, which is in the file.
   * They are valid until it returns.
   *
   * @param id names the file; another file never has the same
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
    // No promise is made for what is in memory: with many clients they would be most of the garbage.
    if (chunk !== undefined && chunk.length >= wanted) return use(chunk.bytes.subarray(at - start, wanted))
    return this.read(key, file, start, wanted, (bytes) => use(bytes.subarray(at - start)))
  }

  /** Reads a chunk as far as it is wanted, and gives `use` all of that. */
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
   * Keeps bytes that were just written to a file, so that clients which follow it closely cause no reads. Bytes are left
   * to be read if those before them in their chunk are not in memory.
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

  /** One reads, the others wait for it. */
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

  /** The chunk of a key, with one user more. */
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

  /** The chunk of a key, which is now the one that was used last. */
  private find(key: string): Chunk | undefined {
    const chunk = this.chunks.get(key)
    if (chunk === undefined) return undefined
    this.chunks.delete(key)
    this.chunks.set(key, chunk)
    return chunk
  }

  /** An empty chunk for a key; undefined if all memory is in use. */
  private make(key: string): Chunk | undefined {
    const bytes = this.takeMemory()
    if (bytes === undefined) return undefined
    const chunk = { bytes, length: 0, reading: undefined, users: 0 }
    this.chunks.set(key, chunk)
    return chunk
  }

  /** Memory that nobody uses; that which was used least recently is taken first. */
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
