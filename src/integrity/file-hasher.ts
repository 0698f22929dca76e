import type { DigestAlgorithm } from '../oci/digest.ts'
import { WorkerClient } from '../worker-client.ts'

/** What the thread is asked. */
export interface HashQuestion {
  file: string
  algorithm: DigestAlgorithm
  bytesPerSecondMax: number
}

/** Hashes files in a thread of low priority, which starts when it is first needed. */
export class FileHasher {
  private thread: WorkerClient<HashQuestion, string> | undefined

  /** Returns the hash in hex, or undefined if there is no such file. Rejects if it cannot be read. */
  hash(question: HashQuestion): Promise<string | undefined> {
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
    return this.thread.ask(question)
  }

  async stop(): Promise<void> {
    const { thread } = this
    this.thread = undefined
    await thread?.stop()
  }
}
