import { type ErrorEntry, RegistryError, registryError } from '../oci/error.ts'
import type { OperationName, Operations } from './operations.ts'
import type { Stale } from './stale.ts'

/** Calls that may wait for the writer's thread at once; further ones are refused with TOOMANYREQUESTS. */
const CALLS_WAITING_MAX = 10_000

export interface Call {
  id: number
  name: OperationName
  args: unknown
}

export interface Failure {
  entries: readonly ErrorEntry[]
  status: number
  headers: Readonly<Record<string, string>>
  cause: string
}

export type Reply = { id: number; value?: unknown; failure?: Failure }

export type ToWriter = { open: string; now: number } | Call | { close: true }
export type FromWriter = { opened: true } | { closed: true } | { failed: string } | { replies: Reply[] }

export interface WriterOptions {
  /** Told before a write returns what it has made stale. */
  onStale: (what: Stale) => void
  /** Told when the thread has died. */
  onFailure: (error: Error) => void
}

type Waiting = { resolve: (value: never) => void; reject: (error: Error) => void }

/** The serving thread's side of the writer's thread: each write is an ordinary async call. */
export class Writer {
  private readonly worker: Worker
  private readonly options: WriterOptions
  private readonly waiting = new Map<number, Waiting>()
  private readonly closed = Promise.withResolvers<void>()
  private readonly ended = Promise.withResolvers<void>()
  private nextId = 1
  private failed: Error | undefined
  private closing = false

  private constructor(worker: Worker, options: WriterOptions) {
    this.worker = worker
    this.options = options
    worker.addEventListener('error', (event) => this.fail(new Error(`the writer failed: ${event.message}`)))
    worker.addEventListener('close', () => {
      this.fail(new Error('the writer has stopped'))
      this.ended.resolve()
    })
  }

  /**
   * Starts the thread, which makes or migrates the database at `path`.
   *
   * @param now milliseconds since 1970
   * @throws Error that names what hinders the database from being opened
   */
  static open(path: string, now: number, options: WriterOptions): Promise<Writer> {
    const worker = new Worker(new URL('./writer-worker.ts', import.meta.url))
    const writer = new Writer(worker, options)
    const opened = Promise.withResolvers<Writer>()
    writer.waiting.set(0, { resolve: () => {}, reject: opened.reject })
    worker.onmessage = ({ data }: MessageEvent<FromWriter>) => {
      if ('failed' in data) {
        writer.closing = true
        worker.terminate()
        opened.reject(new Error(data.failed))
        return
      }
      if (!('opened' in data)) return
      writer.waiting.delete(0)
      worker.onmessage = (event: MessageEvent<FromWriter>) => writer.receive(event.data)
      opened.resolve(writer)
    }
    writer.post({ open: path, now })
    return opened.promise
  }

  /**
   * Runs one write. It is committed when the promise resolves, and has left no trace when it rejects.
   *
   * @param moved memory that goes to the thread with the arguments, instead of a copy; it is empty here afterwards
   */
  call<N extends OperationName>(
    name: N,
    args: Parameters<Operations[N]>[0],
    moved: ArrayBuffer[] = [],
  ): Promise<ReturnType<Operations[N]>> {
    if (this.failed) return Promise.reject(this.failed)
    if (this.waiting.size >= CALLS_WAITING_MAX) return Promise.reject(tooMany())
    const id = this.nextId++
    const { promise, resolve, reject } = Promise.withResolvers<never>()
    this.waiting.set(id, { resolve, reject })
    this.post({ id, name, args }, moved)
    return promise
  }

  /** Commits what waits, then closes the database and ends the thread. */
  async close(): Promise<void> {
    this.closing = true
    if (this.failed === undefined) {
      this.post({ close: true })
      await this.closed.promise
    }
    this.worker.terminate()
    await this.ended.promise
  }

  private post(message: ToWriter, moved: ArrayBuffer[] = []): void {
    this.worker.postMessage(message, moved)
  }

  private receive(message: FromWriter): void {
    if ('closed' in message) this.closed.resolve()
    if (!('replies' in message)) return
    for (const stale of new Set(message.replies.map(({ value }) => staleOf(value)))) {
      if (stale) this.options.onStale(stale)
    }
    for (const { id, value, failure } of message.replies) {
      const waiting = this.waiting.get(id)
      this.waiting.delete(id)
      if (failure) waiting?.reject(new RegistryError(failure.entries, failure))
      else waiting?.resolve(value as never)
    }
  }

  private fail(error: Error): void {
    if (this.failed === undefined && !this.closing) this.options.onFailure(error)
    this.failed ??= error
    for (const { reject } of this.waiting.values()) reject(this.failed)
    this.waiting.clear()
    this.closed.resolve()
  }
}

function staleOf(value: unknown): Stale | undefined {
  return (value as { stale?: Stale } | undefined)?.stale
}

function tooMany(): RegistryError {
  return registryError('TOOMANYREQUESTS', 'too many writes are waiting: try again in a second', {
    headers: { 'retry-after': '1' },
  })
}
