import type { DigestAlgorithm } from '../oci/digest.ts'
import { WorkerClient } from '../runtime/threads.ts'
import { type FileFailure, fromFileFailure } from './durable-file.ts'
import type { FilledSlot, SlotPool } from './slot-pool.ts'

/** An upload's file. The digester creates it with the first byte. */
export interface UploadFile {
  id: string
  path: string
  algorithm: DigestAlgorithm
}

/** A message to a digester. The first one sets the pool, the others are about uploads. */
export type DigesterQuestion =
  | { do: 'use'; pool: SharedArrayBuffer; slotBytes: number }
  | { do: 'open'; upload: UploadFile }
  | { do: 'write'; upload: UploadFile; parts: FilledSlot[] }
  | { do: 'verify'; upload: UploadFile; algorithm: DigestAlgorithm; part: FilledSlot | undefined }
  | { do: 'close'; upload: UploadFile }
  | { do: 'drop'; upload: UploadFile }

/** The content of an upload's file. */
export interface VerifiedFile {
  size: number
  /** The digest of all of it, in the requested algorithm. */
  hex: string
  /** All of it, if it is small. These are the bytes that were hashed. */
  bytes: Uint8Array | undefined
  /** The descriptor of the open file, with which any thread can sync it. */
  fd: number
  /** Whether the file is already published as a blob, whose row was not written. */
  isPublished: boolean
}

/** The serving thread's client of one digester, which answers messages in order. */
export class DigesterClient {
  private readonly client: WorkerClient<DigesterQuestion, FileFailure>

  constructor(pool: SlotPool, onFailure: (error: Error) => void) {
    const worker = new Worker(new URL('./digester.ts', import.meta.url))
    this.client = new WorkerClient(worker, { name: 'a digester', toError: fromFileFailure, onFailure })
    this.client.ask({ do: 'use', pool: pool.buffer, slotBytes: pool.slotBytes }).catch(() => {})
  }

  /** How many messages it has not answered yet. */
  get waiting(): number {
    return this.client.waiting
  }

  /** Opens an upload's file and its hash. Returns its size in bytes. */
  open(upload: UploadFile): Promise<number> {
    return this.client.ask({ do: 'open', upload })
  }

  /** Appends slots of the pool. After an error, the file may have the first ones and must be opened again. */
  write(upload: UploadFile, parts: FilledSlot[]): Promise<void> {
    return this.client.ask({ do: 'write', upload, parts })
  }

  /** Appends the last slot, if any, and returns the content of the file. */
  verify(
    upload: UploadFile,
    algorithm: DigestAlgorithm,
    part: FilledSlot | undefined,
  ): Promise<VerifiedFile> {
    return this.client.ask({ do: 'verify', upload, algorithm, part })
  }

  /** Closes an upload's file and drops its hash. `open` restores both. */
  close(upload: UploadFile): Promise<void> {
    return this.client.ask({ do: 'close', upload })
  }

  /** Closes an upload and removes its file. */
  drop(upload: UploadFile): Promise<void> {
    return this.client.ask({ do: 'drop', upload })
  }

  stop(): Promise<void> {
    return this.client.stop()
  }
}
