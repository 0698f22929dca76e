/** A slot, and how many of its bytes are filled. Who has it sends it, then gives it back. */
export interface FilledSlot {
  slot: number
  length: number
}

/**
 * A fixed pool of shared memory, in slots of one size: what bounds the memory of all uploads together.
 * The serving thread fills a slot, a digester hashes and writes it, then it is free again.
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
   * A free slot. When there is none, those who hold a slot that is not yet full are asked to send it, so that
   * slow clients cannot keep the pool to themselves.
   */
  take(): Promise<number> | number {
    const slot = this.free.pop()
    if (slot !== undefined) return slot
    const { promise, resolve } = Promise.withResolvers<number>()
    this.waiting.push(resolve)
    for (const send of this.partial) send()
    return promise
  }

  /** Gives a slot back, to who waits longest. */
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

  /** Whether somebody waits for a slot. */
  get scarce(): boolean {
    return this.waiting.length > 0
  }

  /** Registers who can send a slot that is partly filled, while it holds one. */
  hold(send: () => void): void {
    this.partial.add(send)
  }

  release(send: () => void): void {
    this.partial.delete(send)
  }
}
