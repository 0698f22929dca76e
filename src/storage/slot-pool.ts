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
}
