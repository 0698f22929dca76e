import { setPriority } from 'node:os'

/** A call of a worker, with the id of its reply. */
export type Asked<Question> = Question & { id: number }

/** The id of a message that replies to no call, which only `onAnswers` sees. */
export const NO_CALL = 0

/** A worker's reply. `failure` is an error as plain data. */
export interface Answer<Failure> {
  id: number
  value?: unknown
  failure?: Failure
}

export interface WorkerClientOptions<Failure> {
  /** The name of the worker in errors. */
  name: string
  toError: (failure: Failure) => Error
  /** Called when the worker has crashed, and can reply to no call any more. */
  onFailure: (error: Error) => void
  /**
   * Sends the calls of one turn of the event loop in one message, because a message costs more than most calls. Do not
   * use it for calls that the worker should start at once, because a turn may be long.
   */
  isBatching?: boolean
  /** Called with the replies of one message, before any of their promises settles. */
  onAnswers?: (answers: Answer<Failure>[]) => void
}

interface Waiting {
  resolve: (value: never) => void
  reject: (error: Error) => void
}

/** Calls a worker, which receives arrays of calls, in order, and replies with arrays of `Answer`. */
export class WorkerClient<Question extends object, Failure> {
  private readonly worker: Worker
  private readonly options: WorkerClientOptions<Failure>
  private readonly unanswered = new Map<number, Waiting>()
  private readonly ended = Promise.withResolvers<void>()
  private unsent: Asked<Question>[] = []
  private moved: ArrayBuffer[] = []
  private nextId = NO_CALL + 1
  private failed: Error | undefined
  private stopping = false
  private readonly send = () => {
    const { unsent, moved } = this
    this.unsent = []
    this.moved = []
    if (this.failed === undefined) this.worker.postMessage(unsent, moved)
  }

  constructor(worker: Worker, options: WorkerClientOptions<Failure>) {
    this.worker = worker
    this.options = options
    worker.onmessage = ({ data }: MessageEvent<Answer<Failure>[]>) => this.receive(data)
    worker.addEventListener('error', ({ message }) =>
      this.fail(new Error(`${options.name} failed: ${message}`)),
    )
    worker.addEventListener('close', () => {
      this.fail(new Error(`${options.name} has stopped`))
      this.ended.resolve()
    })
  }

  /** The number of calls without a reply. */
  get waiting(): number {
    return this.unanswered.size
  }

  /** @param moved memory to transfer to the worker instead of copying it; it is empty here afterwards */
  ask<Value>(question: Question, moved: ArrayBuffer[] = []): Promise<Value> {
    if (this.failed) return Promise.reject(this.failed)
    const id = this.nextId++
    const { promise, resolve, reject } = Promise.withResolvers<Value>()
    this.unanswered.set(id, { resolve, reject })
    if (this.unsent.length === 0 && this.options.isBatching) setImmediate(this.send)
    this.unsent.push({ ...question, id })
    this.moved.push(...moved)
    if (!this.options.isBatching) this.send()
    return promise
  }

  /** Stops the worker. Rejects all calls without a reply. */
  async stop(): Promise<void> {
    this.stopping = true
    this.fail(new Error(`${this.options.name} was stopped`))
    this.worker.terminate()
    await this.ended.promise
  }

  private receive(answers: Answer<Failure>[]): void {
    this.options.onAnswers?.(answers)
    for (const { id, value, failure } of answers) {
      const waiting = this.unanswered.get(id)
      this.unanswered.delete(id)
      if (failure === undefined) waiting?.resolve(value as never)
      else waiting?.reject(this.options.toError(failure))
    }
  }

  private fail(error: Error): void {
    if (this.failed === undefined && !this.stopping) this.options.onFailure(error)
    this.failed ??= error
    for (const { reject } of this.unanswered.values()) reject(this.failed)
    this.unanswered.clear()
  }
}

/**
 * Lowers the priority of the calling thread below that of the serving thread. Only on Linux, because elsewhere the
 * priority is that of the whole process.
 */
export function lowerPriority(): void {
  if (process.platform !== 'linux') return
  try {
    setPriority(0, 10)
  } catch {
    // A sandbox may forbid it; the thread works at normal priority.
  }
}
