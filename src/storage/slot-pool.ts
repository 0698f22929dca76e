import type { WrittenPart } from '../domain/blob-body.ts'

/** A slot, and how many of its bytes are filled. Its holder sends it and then releases it. */
export interface FilledSlot {
  slot: number
  length: number
}

/**
 * A fixed pool of shared memory in slots of one size, which bounds the memory of all uploads together. The serving
 * thread fills a slot, a digester hashes and writes it, and then it is free again. The bytes of some free slots are kept for
 * readers.
 */
export class SlotPool {
  readonly buffer: SharedArrayBuffer
  readonly slotBytes: number
  private readonly bytes: Uint8Array
  /** How often each slot was taken. */
  private readonly uses: Uint32Array
  private readonly free: number[]
  /** Free slots whose bytes are kept, the oldest first. They are taken last. */
  private readonly kept: number[] = []
  private readonly keptMax: number
  private readonly waiting: ((slot: number) => void)[] = []
  private readonly partial = new Set<() => void>()

  constructor(poolBytes: number, slotBytes: number) {
    const count = Math.max(2, Math.floor(poolBytes / slotBytes))
    this.slotBytes = slotBytes
    this.buffer = new SharedArrayBuffer(count * slotBytes)
    this.bytes = new Uint8Array(this.buffer)
    this.uses = new Uint32Array(count)
    this.free = Array.from({ length: count }, (_, slot) => slot)
    this.keptMax = count >> 1
  }

  /**
   * Resolves to a free slot. If there is none, the holders of partly filled slots are asked to send them, so that slow
   * clients cannot occupy the whole pool.
   */
  take(): Promise<number> | number {
    const slot = this.free.pop() ?? this.kept.shift()
    if (slot !== undefined) return this.use(slot)
    const { promise, resolve } = Promise.withResolvers<number>()
    this.waiting.push(resolve)
    for (const send of this.partial) send()
    return promise
  }

  /** Releases a slot to the longest waiting caller. */
  give(slot: number): void {
    const next = this.waiting.shift()
    if (next) next(this.use(slot))
    else this.free.push(slot)
  }

  /** Releases a slot like `give`, but keeps its bytes if nobody waits. At most half of the slots are kept. */
  giveKept(slot: number): void {
    if (this.scarce) this.give(slot)
    else this.kept.push(slot)
    if (this.kept.length > this.keptMax) this.free.push(...this.kept.splice(0, 1))
  }

  /** Copies bytes into a slot. */
  fill(slot: number, at: number, bytes: Uint8Array): void {
    this.bytes.set(bytes, slot * this.slotBytes + at)
  }

  /** Returns the filled bytes of a slot, which stay valid until it is taken again. */
  written(filled: FilledSlot): WrittenPart {
    const { slot, length } = filled
    const use = this.uses[slot]
    return { length, bytes: () => (this.uses[slot] === use ? this.view(filled) : undefined) }
  }

  /** Returns a copy of the filled bytes of a slot. */
  copy(filled: FilledSlot): Uint8Array {
    return new Uint8Array(this.view(filled))
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

  private view({ slot, length }: FilledSlot): Uint8Array {
    const at = slot * this.slotBytes
    return this.bytes.subarray(at, at + length)
  }

  private use(slot: number): number {
    this.uses[slot] = (this.uses[slot] ?? 0) + 1
    return slot
  }
}
