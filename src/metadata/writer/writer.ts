import { type ErrorEntry, RegistryError, tooManyRequests } from '../../oci/error.ts'
import { WorkerClient } from '../../worker-client.ts'
import type { Parts, Stale, StaleParts } from '../stale.ts'
import type { OperationName, Operations } from './operations.ts'

/** How many calls may wait for the writer's thread. Further ones are refused with TOOMANYREQUESTS. */
const CALLS_WAITING_MAX = 10_000
/** The total bytes of manifests and small blobs in these calls. */
const BYTES_WAITING_MAX = 64 * 1024 * 1024

/** A message to the writer's thread: opens the database first, then calls, and closes it at the end. */
export type WriterQuestion = { open: string } | Call | { close: true }

export interface Call {
  name: OperationName
  args: unknown
}

/** A RegistryError as plain data, or why the database cannot be opened. */
export type Failure =
  | { message: string }
  | {
      entries: readonly ErrorEntry[]
      status: number
      headers: Readonly<Record<string, string>>
      cause: string
    }

/** The result of a write, whether it runs in one part or in several. */
type Outcome<Operation extends (call: never) => unknown> =
  ReturnType<Operation> extends Parts<infer Answer> ? Answer : ReturnType<Operation>

export interface WriterOptions {
  /** Called before a write returns with the cached data that it made stale, in the order of the writes. */
  onStale: OnStale
  /** Called when the thread has crashed. */
  onFailure: (error: Error) => void
}

export type OnStale = <K extends Stale>(what: K, part: StaleParts[K]) => void

/** The serving thread's client of the writer's thread. Each write is an async call. */
export class Writer {
  private readonly client: WorkerClient<WriterQuestion, Failure>
  private bytesWaiting = 0

  private constructor(client: WorkerClient<WriterQuestion, Failure>) {
    this.client = client
  }

  /**
   * Starts the thread, which creates or migrates the database at `path`.
   *
   * @throws Error that says why the database cannot be opened
   */
  static async open(path: string, { onStale, onFailure }: WriterOptions): Promise<Writer> {
    const client = new WorkerClient<WriterQuestion, Failure>(
      new Worker(new URL('./writer-worker.ts', import.meta.url)),
      {
        name: 'the writer',
        isBatching: true,
        toError,
        onFailure,
        onAnswers: (answers) => tellStale(answers, onStale),
      },
    )
    try {
      await client.ask({ open: path })
    } catch (error) {
      await client.stop()
      throw error
    }
    return new Writer(client)
  }

  /**
   * Runs one write, which is committed when the promise resolves. If it rejects, nothing has changed, except for
   * earlier parts of a write in parts, which stay committed.
   *
   * @param moved memory in the arguments to transfer to the thread instead of copying it; it is empty afterwards
   */
  call<N extends OperationName>(
    name: N,
    args: Parameters<Operations[N]>[0],
    moved: ArrayBuffer[] = [],
  ): Promise<Outcome<Operations[N]>> {
    const bytes = bytesOf(args)
    const isFull = this.client.waiting >= CALLS_WAITING_MAX || this.bytesWaiting + bytes > BYTES_WAITING_MAX
    if (isFull) return Promise.reject(tooMany())
    const answer = this.client.ask<Outcome<Operations[N]>>({ name, args }, moved)
    return bytes === 0 ? answer : this.holding(bytes, answer)
  }

  private async holding<T>(bytes: number, answer: Promise<T>): Promise<T> {
    this.bytesWaiting += bytes
    try {
      return await answer
    } finally {
      this.bytesWaiting -= bytes
    }
  }

  /** Commits the waiting calls, closes the database and ends the thread. */
  async close(): Promise<void> {
    // A crashed thread has nothing to commit.
    await this.client.ask({ close: true }).catch(() => {})
    await this.client.stop()
  }
}

function bytesOf(args: unknown): number {
  return (args as { bytes?: Uint8Array } | undefined)?.bytes?.byteLength ?? 0
}

function toError(failure: Failure): Error {
  return 'message' in failure ? new Error(failure.message) : new RegistryError(failure.entries, failure)
}

/** All cached content is dropped together, so it is reported once. */
function tellStale(answers: readonly { value?: unknown }[], onStale: OnStale): void {
  const changes = answers.map(({ value }) => value as (StaleParts[Stale] & { stale?: Stale }) | undefined)
  const content = changes.findIndex((change) => change?.stale === 'content')
  for (const [at, change] of changes.entries()) {
    if (change?.stale === undefined || (change.stale === 'content' && at !== content)) continue
    onStale(change.stale, change as never)
  }
}

function tooMany(): RegistryError {
  return tooManyRequests('too many writes are waiting: try again in a second', 1)
}
