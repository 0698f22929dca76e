import { lowerPriority } from '../low-priority.ts'
import { type Answer, type Asked, NO_CALL } from '../worker-client.ts'
import { FileError, type FileFailure, type FileQuestion } from './file-question.ts'
import { FileStreams } from './file-streams.ts'
import { IndexFolder } from './index-folder.ts'
import { Indexes, type Work } from './indexes.ts'

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

const thread = new FileThread()
lowerPriority()
self.onmessage = ({ data }: MessageEvent<Asked<Question>[]>) => {
  for (const question of data) void thread.reply(question)
}
