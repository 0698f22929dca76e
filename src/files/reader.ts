import { join } from 'node:path'
import { type Answer, NO_CALL, WorkerClient } from '../runtime/threads.ts'
import type { ThreadSetup } from './file-thread.ts'
import { INDEXES_FOLDER } from './index-folder.ts'
import { FileError, type FileFailure, type FileQuestion, type WorkProgress } from './question.ts'

/** The bytes of all indexes and comparisons that are kept. */
const INDEXES_BYTES_MAX = 512 * 1024 ** 2

/** How long the thread is kept without a question. */
const IDLE_SECONDS_MAX = 60

interface FileReaderOptions {
  data: string
  bytesMax?: number
  idleSecondsMax?: number
}

type Thread = WorkerClient<FileQuestion | ThreadSetup, FileFailure>

/** Reads the files of layers in a thread of low priority, which starts when it is first needed, and ends when it is idle. */
export class FileReader {
  private readonly options: Required<FileReaderOptions>
  private readonly watchers = new Map<string, (done: number) => void>()
  private thread: Thread | undefined
  private idle: Timer | undefined
  private isStopped = false

  constructor(options: FileReaderOptions) {
    this.options = { bytesMax: INDEXES_BYTES_MAX, idleSecondsMax: IDLE_SECONDS_MAX, ...options }
  }

  /** @throws FileError */
  async ask<T>(question: FileQuestion): Promise<T> {
    if (this.isStopped) throw new FileError('cancelled', 'the server is stopping')
    const thread = this.thread ?? this.start()
    clearTimeout(this.idle)
    try {
      return await thread.ask<T>(question)
    } finally {
      if (thread === this.thread && thread.waiting === 0) this.endWhenIdle(thread)
    }
  }

  /** Asks for work that reports its progress, and cancels it when the signal is aborted. */
  async run(
    name: string,
    question: FileQuestion,
    { signal, progress }: { signal: AbortSignal; progress: (done: number) => void },
  ): Promise<void> {
    signal.throwIfAborted()
    const cancel = () => void this.ask({ do: 'cancel', work: name }).catch(() => {})
    signal.addEventListener('abort', cancel, { once: true })
    this.watchers.set(name, progress)
    try {
      await this.ask(question)
    } finally {
      this.watchers.delete(name)
      signal.removeEventListener('abort', cancel)
    }
  }

  async stop(): Promise<void> {
    this.isStopped = true
    clearTimeout(this.idle)
    await this.thread?.stop()
    this.thread = undefined
  }

  private start(): Thread {
    const worker = new Worker(new URL('./file-thread.ts', import.meta.url))
    worker.unref()
    const thread: Thread = new WorkerClient(worker, {
      name: 'the thread that reads files of layers',
      toError: ({ reason, message }) => new FileError(reason, message),
      onFailure: () => {
        if (this.thread === thread) this.thread = undefined
      },
      onAnswers: (answers) => this.report(answers),
    })
    this.thread = thread
    const { data, bytesMax } = this.options
    // If this fails, so does every question after it.
    thread.ask({ do: 'setup', folder: join(data, INDEXES_FOLDER), bytesMax }).catch(() => {})
    return thread
  }

  private report(answers: Answer<FileFailure>[]): void {
    for (const { id, value } of answers) {
      if (id !== NO_CALL) continue
      const { work, done } = value as WorkProgress
      this.watchers.get(work)?.(done)
    }
  }

  /** A download requests each chunk, so a thread without a message for a minute has no download in progress. */
  private endWhenIdle(thread: Thread): void {
    if (this.isStopped) return
    clearTimeout(this.idle)
    this.idle = setTimeout(() => {
      if (this.thread === thread) this.thread = undefined
      void thread.stop()
    }, this.options.idleSecondsMax * 1000)
    this.idle.unref()
  }
}
