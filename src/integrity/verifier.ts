import type { Digest } from '../oci/digest.ts'
import { WorkerClient } from '../runtime/threads.ts'
import type { FileFailure } from '../storage/durable-file.ts'

/** A request to verify that content has this digest. */
export interface HashQuestion {
  digest: Digest
  /** The path of a file, or bytes of the database. */
  content: string | Uint8Array
  /** The rate for all content that the thread reads, in bytes per second. */
  bytesPerSecondMax: number
}

/** A message to the thread: verify content, or check a database's file with SQLite. */
export type ThreadQuestion = HashQuestion | { database: string }

/** The error codes of a disk that cannot read its data. */
const UNREADABLE = new Set(['EIO', 'EBADMSG', 'EUCLEAN', 'ENODATA', 'EISDIR'])

/** The disk cannot read the content. */
export class UnreadableError extends Error {
  override name = 'UnreadableError'
}

/** Verifies content in a thread of low priority, which starts when it is first needed. */
export class ContentVerifier {
  private thread: WorkerClient<ThreadQuestion, FileFailure> | undefined

  /**
   * Returns whether the content has the digest. Rejects once the signal is aborted.
   * @throws UnreadableError
   */
  async isGood(question: HashQuestion, signal: AbortSignal): Promise<boolean> {
    return await this.ask<boolean>(question, signal)
  }

  /** Returns what SQLite finds wrong with a database's file; nothing if it is intact. */
  async databaseDamage(path: string, signal: AbortSignal): Promise<string[]> {
    return await this.ask<string[]>({ database: path }, signal)
  }

  async stop(): Promise<void> {
    const { thread } = this
    this.thread = undefined
    await thread?.stop()
  }

  private async ask<T>(question: ThreadQuestion, signal: AbortSignal): Promise<T> {
    signal.throwIfAborted()
    this.thread ??= new WorkerClient<ThreadQuestion, FileFailure>(
      new Worker(new URL('./hash-thread.ts', import.meta.url)),
      {
        name: 'the thread that verifies content',
        toError,
        onFailure: () => {
          this.thread = undefined
        },
      },
    )
    const { promise: aborted, reject } = Promise.withResolvers<never>()
    const abort = () => reject(signal.reason)
    signal.addEventListener('abort', abort)
    try {
      return await Promise.race([this.thread.ask<T>(question), aborted])
    } finally {
      signal.removeEventListener('abort', abort)
    }
  }
}

function toError({ message, code }: FileFailure): Error {
  return UNREADABLE.has(code ?? '') ? new UnreadableError(message) : new Error(message)
}
