import { FileError, type FileLocation } from './file-question.ts'
import { compressionOf, type LayerContent, openLayer, readingError } from './layer-bytes.ts'

/** How many bytes of a compressed layer are read to reach a file. */
const SKIPPED_BYTES_MAX = 16 * 1024 ** 3

/** How many files are read at a time, in total and for one account. */
const STREAMS_MAX = 32
const STREAMS_PER_ACCOUNT_MAX = 8

/** How long a reader may wait before it reads on, in milliseconds. */
const IDLE_MS_MAX = 120_000

interface OpenStream {
  account: string
  chunks: AsyncIterator<Uint8Array>
  /** Bytes to skip before the file. */
  skip: number
  /** Bytes of the file that are left. */
  left: number
  idle: Timer | undefined
}

/** Files of layers that are being read, a chunk at a time. */
export class FileStreams {
  private readonly streams = new Map<number, OpenStream>()
  private lastId = 0

  /** Returns the id of a new stream. Throws a FileError. */
  async open(account: string, content: LayerContent, { start, size }: FileLocation): Promise<number> {
    const isCompressed = (await compressionOf(content)) !== undefined
    if (isCompressed && start > SKIPPED_BYTES_MAX)
      throw new FileError({
        reason: 'unreadable',
        message: `the file begins ${start} bytes into a compressed layer, and at most ${SKIPPED_BYTES_MAX} are read to reach it: pull the image instead`,
      })
    const { stream } = await openLayer(content, start)
    // Others may have been opened meanwhile.
    if (this.isFull(account)) {
      await stream.cancel()
      throw new FileError({ reason: 'full', message: 'too many files are being downloaded' })
    }
    const id = ++this.lastId
    const chunks = stream[Symbol.asyncIterator]()
    const skip = isCompressed ? start : 0
    this.streams.set(id, { account, chunks, skip, left: size, idle: this.expire(id) })
    return id
  }

  /** Returns the next bytes of a stream; undefined at its end. Their memory belongs to the caller. */
  async read(id: number): Promise<Uint8Array | undefined> {
    const stream = this.streams.get(id)
    if (stream === undefined) throw new Error('the download was idle for too long')
    clearTimeout(stream.idle)
    try {
      const bytes = stream.left === 0 ? undefined : await next(stream)
      if (bytes === undefined) await this.close(id)
      else stream.idle = this.expire(id)
      return bytes
    } catch (error) {
      await this.close(id)
      throw readingError(error)
    }
  }

  async close(id: number): Promise<void> {
    const stream = this.streams.get(id)
    this.streams.delete(id)
    clearTimeout(stream?.idle)
    await stream?.chunks.return?.().catch(() => {})
  }

  private isFull(account: string): boolean {
    const own = [...this.streams.values()].filter((stream) => stream.account === account).length
    return this.streams.size >= STREAMS_MAX || own >= STREAMS_PER_ACCOUNT_MAX
  }

  private expire(id: number): Timer {
    return setTimeout(() => void this.close(id), IDLE_MS_MAX)
  }
}

/** Returns a copy of the next bytes of the file. */
async function next(stream: OpenStream): Promise<Uint8Array> {
  for (;;) {
    const { done, value } = await stream.chunks.next()
    if (done) throw new Error('the layer ends before the file does')
    const skipped = Math.min(stream.skip, value.length)
    stream.skip -= skipped
    const bytes = value.slice(skipped, skipped + stream.left)
    stream.left -= bytes.length
    if (bytes.length > 0) return bytes
  }
}
