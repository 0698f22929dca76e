import type { DigestAlgorithm } from '../oci/reference.ts'
import { WorkerClient } from '../runtime/threads.ts'
import { type FileFailure, fromFileFailure } from './durable-file.ts'

/** An upload's file. The digester creates it with the first byte. */
export interface UploadFile {
  id: string
  path: string
  algorithm: DigestAlgorithm
}

/** A message to a digester. The first one sets the pool, the others are about uploads. */
export type DigesterQuestion =
  | { do: 'use'; pool: SharedArrayBuffer; slotBytes: number }
  /** Opens the file and its hash. The answer is its size in bytes. */
  | { do: 'open'; upload: UploadFile }
  /** Appends slots of the pool. After an error, the file may have the first ones and must be opened again. */
  | { do: 'write'; upload: UploadFile; parts: FilledSlot[] }
  /** Appends the last slot, if any. The answer is the content of the file, a `VerifiedFile`. */
  | { do: 'verify'; upload: UploadFile; algorithm: DigestAlgorithm; part: FilledSlot | undefined }
  /** Closes the file and drops its hash. `open` restores both. `drop` also removes the file. */
  | { do: 'close' | 'drop'; upload: UploadFile }

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
export type Digester = WorkerClient<DigesterQuestion, FileFailure>

export function startDigester(pool: SlotPool, onFailure: (error: Error) => void): Digester {
  const worker = new Worker(new URL('./digester.ts', import.meta.url))
  const digester: Digester = new WorkerClient(worker, {
    name: 'a digester',
    toError: fromFileFailure,
    onFailure,
  })
  digester.ask({ do: 'use', pool: pool.buffer, slotBytes: pool.slotBytes }).catch(() => {})
  return digester
}

/** A slot, and how many of its bytes are filled. Its holder sends it and then releases it. */
export interface FilledSlot {
  slot: number
  length: number
}

/**
 * A fixed pool of shared memory in slots of one size, which bounds the memory of all uploads together. The serving
 * thread fills a slot, a digester hashes and writes it, and then it is free again.
 */
export class SlotPool {
  readonly buffer: SharedArrayBuffer
  readonly slotBytes: number
  private readonly bytes: Uint8Array
  private readonly free: number[]
  private readonly waiting: ((slot: number) => void)[] = []
  private readonly partial = new Set<() => void>()

  constructor(poolBytes: number, slotBytes: number) {
    const count = Math.max(2, Math.floor(poolBytes / slotBytes))
    this.slotBytes = slotBytes
    this.buffer = new SharedArrayBuffer(count * slotBytes)
    this.bytes = new Uint8Array(this.buffer)
    this.free = Array.from({ length: count }, (_, slot) => slot)
  }

  /**
   * Resolves to a free slot. If there is none, the holders of partly filled slots are asked to send them, so that slow
   * clients cannot occupy the whole pool.
   */
  take(): Promise<number> | number {
    const slot = this.free.pop()
    if (slot !== undefined) return slot
    const { promise, resolve } = Promise.withResolvers<number>()
    this.waiting.push(resolve)
    for (const send of this.partial) send()
    return promise
  }

  /** Releases a slot to the longest waiting caller. */
  give(slot: number): void {
    const next = this.waiting.shift()
    if (next) next(slot)
    else this.free.push(slot)
  }

  /** Copies bytes into a slot. */
  fill(slot: number, at: number, bytes: Uint8Array): void {
    this.bytes.set(bytes, slot * this.slotBytes + at)
  }

  /** Returns the filled bytes of a slot, which are valid until it is given back. */
  view({ slot, length }: FilledSlot): Uint8Array {
    const at = slot * this.slotBytes
    return this.bytes.subarray(at, at + length)
  }

  /** Whether a caller is waiting for a slot. */
  get scarce(): boolean {
    return this.waiting.length > 0
  }

  /** Registers a holder that can send its partly filled slot on request. */
  hold(send: () => void): void {
    this.partial.add(send)
  }

  release(send: () => void): void {
    this.partial.delete(send)
  }
}
