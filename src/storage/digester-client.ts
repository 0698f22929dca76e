import type { DigestAlgorithm } from '../oci/digest.ts'
import { diskFull } from '../oci/error.ts'
import type { SlotPool } from './slot-pool.ts'

export type Question = { id: number } & (
  | { do: 'open'; upload: string; path: string; algorithm: DigestAlgorithm }
  | { do: 'write'; upload: string; slot: number; length: number }
  | { do: 'commit'; upload: string; algorithm: DigestAlgorithm; hex: string; target: string; folder: string }
  | { do: 'close'; upload: string }
  | { do: 'drop'; upload: string; path: string }
)
export type ToDigester = { pool: SharedArrayBuffer; slotBytes: number } | Question
export type Answer = { id: number; value?: unknown; error?: string; code?: string }

/** What a commit found: `mismatch` is the digest that the bytes have instead. */
export interface Committed {
  size: number
  mismatch?: string
}

type Ask = Question extends infer Q ? (Q extends Question ? Omit<Q, 'id'> : never) : never
type Waiting = { resolve: (value: never) => void; reject: (error: Error) => void }

/** The serving thread's side of one digester. Questions are taken up in the order in which they are asked. */
export class DigesterClient {
  private readonly worker: Worker
  private readonly waiting = new Map<number, Waiting>()
  private nextId = 1
  private failed: Error | undefined

  constructor(pool: SlotPool, onFailure: (error: Error) => void) {
    this.worker = new Worker(new URL('./digester.ts', import.meta.url))
    this.worker.postMessage({ pool: pool.buffer, slotBytes: pool.slotBytes } satisfies ToDigester)
    this.worker.onmessage = ({ data }: MessageEvent<Answer>) => this.receive(data)
    this.worker.addEventListener('error', (event) => {
      this.fail(new Error(`a digester failed: ${event.message}`))
      onFailure(new Error(`a digester failed: ${event.message}`))
    })
  }

  /** Opens or makes an upload's file; answers its size in bytes. */
  open(upload: string, path: string, algorithm: DigestAlgorithm): Promise<number> {
    return this.ask({ do: 'open', upload, path, algorithm })
  }

  /** Appends `length` bytes of a slot. After an error the upload is closed and has no part of them. */
  write(upload: string, slot: number, length: number): Promise<void> {
    return this.ask({ do: 'write', upload, slot, length })
  }

  /** Verifies, syncs and publishes an upload as the file `target` in `folder`, then lets go of it. */
  commit(
    upload: string,
    digest: { algorithm: DigestAlgorithm; hex: string },
    target: string,
    folder: string,
  ) {
    return this.ask<Committed>({ do: 'commit', upload, ...digest, target, folder })
  }

  /** Lets go of an upload's file and hash; both can be had again by `open`. */
  close(upload: string): Promise<void> {
    return this.ask({ do: 'close', upload })
  }

  /** Lets go of an upload and removes its file. */
  drop(upload: string, path: string): Promise<void> {
    return this.ask({ do: 'drop', upload, path })
  }

  stop(): void {
    this.fail(new Error('the digester has stopped'))
    this.worker.terminate()
  }

  private ask<T>(ask: Ask): Promise<T> {
    if (this.failed) return Promise.reject(this.failed)
    const id = this.nextId++
    const { promise, resolve, reject } = Promise.withResolvers<T>()
    this.waiting.set(id, { resolve, reject })
    this.worker.postMessage({ ...ask, id } as Question)
    return promise
  }

  private receive({ id, value, error, code }: Answer): void {
    const waiting = this.waiting.get(id)
    this.waiting.delete(id)
    if (error === undefined) waiting?.resolve(value as never)
    else waiting?.reject(toError(error, code))
  }

  private fail(error: Error): void {
    this.failed ??= error
    for (const { reject } of this.waiting.values()) reject(this.failed)
    this.waiting.clear()
  }
}

function toError(message: string, code: string | undefined): Error {
  const cause = new Error(message)
  return code === 'ENOSPC' || code === 'EDQUOT' ? diskFull(cause) : cause
}
