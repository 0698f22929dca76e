import type { DigestAlgorithm } from '../oci/digest.ts'
import { WorkerClient } from '../worker-client.ts'
import { type FileFailure, fromFileFailure } from './file-failure.ts'
import type { FilledSlot, SlotPool } from './slot-pool.ts'

/** An upload's file. The digester creates it with its first byte. */
export interface UploadFile {
  id: string
  path: string
  algorithm: DigestAlgorithm
}

/** What a digester is asked: to use a pool first, then about uploads. */
export type DigesterQuestion =
  | { do: 'use'; pool: SharedArrayBuffer; slotBytes: number }
  | { do: 'open'; upload: UploadFile }
  | { do: 'write'; upload: UploadFile; part: FilledSlot }
  | { do: 'verify'; upload: UploadFile; algorithm: DigestAlgorithm; part: FilledSlot | undefined }
  | { do: 'close'; upload: UploadFile }
  | { do: 'drop'; upload: UploadFile }

/** What an upload's file has. */
export interface VerifiedFile {
  size: number
  /** The digest of all of it, in the algorithm that was asked for. */
  hex: string
  /** All of it, where it is small: these bytes were hashed. */
  bytes: Uint8Array | undefined
  /** The open file, which any thread of the process can sync until it is closed. */
  fd: number
  /** The file is a published blob, too: it was published before, but its row was not written. */
  isPublished: boolean
}

/** The serving thread's side of one digester. Questions are answered in the order in which they are asked. */
export class DigesterClient {
  private readonly client: WorkerClient<DigesterQuestion, FileFailure>

  constructor(pool: SlotPool, onFailure: (error: Error) => void) {
    const worker = new Worker(new URL('./digester.ts', import.meta.url))
    this.client = new WorkerClient(worker, { name: 'a digester', toError: fromFileFailure, onFailure })
    this.client.ask({ do: 'use', pool: pool.buffer, slotBytes: pool.slotBytes }).catch(() => {})
  }

  /** Questions that it has not answered yet. */
  get waiting(): number {
    return this.client.waiting
  }

  /** Opens an upload's file, with its hash; answers its size in bytes. */
  open(upload: UploadFile): Promise<number> {
    return this.client.ask({ do: 'open', upload })
  }

  /** Appends a part of the pool. After an error the file has none of it, and must be opened again. */
  write(upload: UploadFile, part: FilledSlot): Promise<void> {
    return this.client.ask({ do: 'write', upload, part })
  }

  /** Appends the last part, if any, and answers what the file has. */
  verify(
    upload: UploadFile,
    algorithm: DigestAlgorithm,
    part: FilledSlot | undefined,
  ): Promise<VerifiedFile> {
    return this.client.ask({ do: 'verify', upload, algorithm, part })
  }

  /** Lets go of an upload's file and hash; `open` makes both again. */
  close(upload: UploadFile): Promise<void> {
    return this.client.ask({ do: 'close', upload })
  }

  /** Lets go of an upload and removes its file. */
  drop(upload: UploadFile): Promise<void> {
    return this.client.ask({ do: 'drop', upload })
  }

  stop(): Promise<void> {
    return this.client.stop()
  }
}
