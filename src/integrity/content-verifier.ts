import type { Digest } from '../oci/digest.ts'
import { WorkerClient } from '../worker-client.ts'

/** What the thread is asked: whether content has this digest. */
export interface HashQuestion {
  digest: Digest
  /** The path of a file, or bytes of the database. */
  content: string | Uint8Array
  /** For files. */
  bytesPerSecondMax: number
}

/** Hashes content in a thread of low priority, which starts when it is first needed. */
export class ContentVerifier {
  private thread: WorkerClient<HashQuestion, string> | undefined

  /** Returns whether the content has the digest. Rejects if it cannot be read, and once the signal is aborted. */
  async isGood(question: HashQuestion, signal: AbortSignal): Promise<boolean> {
    signal.throwIfAborted()
    this.thread ??= new WorkerClient<HashQuestion, string>(
      new Worker(new URL('./hash-thread.ts', import.meta.url)),
      {
        name: 'the thread that verifies content',
        toError: (message) => new Error(message),
        onFailure: () => {
          this.thread = undefined
        },
      },
    )
    const { promise: aborted, reject } = Promise.withResolvers<never>()
    const abort = () => reject(signal.reason)
    signal.addEventListener('abort', abort)
    try {
      return await Promise.race([this.thread.ask<boolean>(question), aborted])
    } finally {
      signal.removeEventListener('abort', abort)
    }
  }

  async stop(): Promise<void> {
    const { thread } = this
    this.thread = undefined
    await thread?.stop()
  }
}
