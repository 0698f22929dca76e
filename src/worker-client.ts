/** A question to a thread, with the number that its answer has. */
export type Asked<Question> = Question & { id: number }

/** A thread's answer. `failure` is what the thread says of an error, as plain data. */
export interface Answer<Failure> {
  id: number
  value?: unknown
  failure?: Failure
}

export interface WorkerClientOptions<Failure> {
  /** What the thread is called in errors. */
  name: string
  toError: (failure: Failure) => Error
  /** Called when the thread has died: nothing that it is asked can be answered any more. */
  onFailure: (error: Error) => void
  /**
   * Sends the questions of one turn of the event loop in one message, for a message costs more than most questions. Not
   * for questions that the thread should begin with while this one goes on, for a turn may be long.
   */
  isBatching?: boolean
  /** Called with the answers that came together, before any of their promises settles. */
  onAnswers?: (answers: Answer<Failure>[]) => void
}

interface Waiting {
  resolve: (value: never) => void
  reject: (error: Error) => void
}

/**
 * This side of a thread that answers questions. The thread receives them as arrays, in order, and answers with arrays
 * of `Answer`.
 */
export class WorkerClient<Question extends object, Failure> {
  private readonly worker: Worker
  private readonly options: WorkerClientOptions<Failure>
  private readonly unanswered = new Map<number, Waiting>()
  private readonly ended = Promise.withResolvers<void>()
  private unsent: Asked<Question>[] = []
  private moved: ArrayBuffer[] = []
  private nextId = 1
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

  /** Questions that are not answered yet. */
  get waiting(): number {
    return this.unanswered.size
  }

  /** @param moved memory that goes to the thread instead of a copy of it; it is empty here afterwards */
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

  /** Ends the thread. What it has not answered is rejected. */
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
