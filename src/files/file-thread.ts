import { type Answer, type Asked, lowerPriority, NO_CALL } from '../runtime/threads.ts'
import { compressionOf, type LayerContent, openLayer, readingError } from './archive.ts'
import { IndexFolder } from './index-folder.ts'
import { Indexes, type Work } from './indexes.ts'
import { FileError, type FileFailure, type FileLocation, type FileQuestion } from './question.ts'

declare const self: Worker

/** The first message to the thread. */
export interface ThreadSetup {
  do: 'setup'
  folder: string
  bytesMax: number
}

type Question = FileQuestion | ThreadSetup

/** Responds to the messages of the serving thread. */
class FileThread {
  private readonly streams = new FileStreams()
  /** What is being made, by the digest of the layer or the name of the comparison. */
  private readonly works = new Map<string, AbortController>()
  private opened: Indexes | undefined

  async reply(question: Asked<Question>): Promise<void> {
    const { id } = question
    try {
      const value = await this.answerTo(question)
      const moved = value instanceof Uint8Array ? [value.buffer as ArrayBuffer] : []
      self.postMessage([{ id, value } satisfies Answer<FileFailure>], moved)
    } catch (error) {
      self.postMessage([{ id, failure: failureOf(error) } satisfies Answer<FileFailure>])
    }
  }

  private answerTo(question: Question): unknown {
    if (question.do === 'setup') {
      const { folder, bytesMax } = question
      this.opened = new Indexes(new IndexFolder(folder, { bytesMax, now: Date.now }))
      return undefined
    }
    const { indexes, streams } = this
    switch (question.do) {
      case 'missing':
        return indexes.missing(question.layers)
      case 'build': {
        const { layer, content, needed } = question
        return this.work(layer, (work) => indexes.build(layer, content, needed, work))
      }
      case 'compare': {
        const { name, from, to } = question
        return this.work(name, (work) => indexes.compare(name, from, to, work))
      }
      case 'cancel':
        return this.works.get(question.work)?.abort()
      case 'list':
        return indexes.list(question.source, question.path, question.after, question.limit)
      case 'search':
        return indexes.search(question.source, question)
      case 'locate':
        return indexes.locate(question.source, question.path)
      case 'changes':
        return indexes.changes(question.name, question.after, question.limit)
      case 'open':
        return streams.open(question.account, question.content, question.location)
      case 'read':
        return streams.read(question.stream)
      case 'close':
        return streams.close(question.stream)
    }
  }

  private get indexes(): Indexes {
    if (this.opened === undefined) throw new Error('the folder of indexes cannot be opened')
    return this.opened
  }

  private async work(name: string, run: (work: Work) => Promise<void>): Promise<void> {
    const abort = new AbortController()
    this.works.set(name, abort)
    const progress = (done: number) => self.postMessage([{ id: NO_CALL, value: { work: name, done } }])
    try {
      await run({ signal: abort.signal, progress })
    } finally {
      this.works.delete(name)
    }
  }
}

function failureOf(error: unknown): FileFailure {
  if (error instanceof FileError) return { reason: error.reason, message: error.message }
  const { name, message } = error as Error
  return { reason: name === 'AbortError' ? 'cancelled' : 'failed', message }
}

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
      throw new FileError(
        'unreadable',
        `the file begins ${start} bytes into a compressed layer, and at most ${SKIPPED_BYTES_MAX} are read to reach it: pull the image instead`,
      )
    const { stream } = await openLayer(content, start)
    // Others may have been opened meanwhile.
    if (this.isFull(account)) {
      await stream.cancel()
      throw new FileError('full', 'too many files are being downloaded')
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

const thread = new FileThread()
lowerPriority()
self.onmessage = ({ data }: MessageEvent<Asked<Question>[]>) => {
  for (const question of data) void thread.reply(question)
}
