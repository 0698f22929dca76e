import type { DigestAlgorithm } from '../oci/digest.ts'
import { diskFull } from '../oci/error.ts'
import type { FilledSlot, SlotPool } from './slot-pool.ts'

/** An upload's file, which the digester makes when it is not there yet. */
export interface UploadFile {
  id: string
  path: string
  algorithm: DigestAlgorithm
}

/** How a file becomes a blob. */
export interface Publication {
  algorithm: DigestAlgorithm
  hex: string
  /** The blob's file, and the folder that it is in. */
  target: string
  folder: string
  /** The upload keeps a file of its own, until it is dropped. */
  keep: boolean
}

export type Question = { id: number; upload: UploadFile } & (
  | { do: 'open' }
  | { do: 'write'; part: FilledSlot }
  | { do: 'commit'; publication: Publication; part: FilledSlot | undefined }
  | { do: 'close' }
  | { do: 'drop' }
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

  /** Opens an upload's file, with its hash; answers its size in bytes. */
  open(upload: UploadFile): Promise<number> {
    return this.ask({ do: 'open', upload })
  }

  /** Appends a part of the pool. After an error the file has none of it, and is to be opened again. */
  write(upload: UploadFile, part: FilledSlot): Promise<void> {
    return this.ask({ do: 'write', upload, part })
  }

  /** Appends the last part, if any, then verifies, syncs and publishes the upload, which keeps its own file. */
  commit(upload: UploadFile, publication: Publication, part: FilledSlot | undefined): Promise<Committed> {
    return this.ask({ do: 'commit', upload, publication, part })
  }

  /** Lets go of an upload's file and hash; both can be had again by `open`. */
  close(upload: UploadFile): Promise<void> {
    return this.ask({ do: 'close', upload })
  }

  /** Lets go of an upload and removes its file. */
  drop(upload: UploadFile): Promise<void> {
    return this.ask({ do: 'drop', upload })
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
