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
 * Reads of files that many clients follow: what one has read, the others that come soon after get from memory. The
 * memory is fixed, and none of it is held while a slow client is waited for.
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
  async use<T>(
    id: string,
    file: GrowingFile,
    at: number,
    end: number,
    use: (bytes: Uint8Array) => T,
  ): Promise<T> {
    const index = Math.floor(at / this.chunkBytes)
    const start = index * this.chunkBytes
    const wanted = Math.min(end - start, this.chunkBytes)
    const chunk = await this.take(`${id}/${index}`)
    try {
      while (chunk.length < wanted) await this.readOn(chunk, file, start, wanted)
      return use(chunk.bytes.subarray(at - start, wanted))
    } finally {
      chunk.users--
      if (chunk.users === 0) this.waiting.shift()?.()
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
      const known = this.chunks.get(key)
      if (known !== undefined) {
        this.chunks.delete(key)
        this.chunks.set(key, known)
        known.users++
        return known
      }
      const bytes = this.takeMemory()
      if (bytes !== undefined) {
        const chunk = { bytes, length: 0, reading: undefined, users: 1 }
        this.chunks.set(key, chunk)
        return chunk
      }
      await new Promise<void>((resolve) => this.waiting.push(resolve))
    }
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
