import { UpstreamError } from './upstream-error.ts'

/** Bytes of each answer that are not counted: nearly all manifests are smaller. */
const UNCOUNTED_BYTES = 256 * 1024

/** Memory for what large answers take beyond that, of all upstreams together. */
const BYTES_MAX = 32 * 1024 * 1024

/** Bounds the memory that answers of upstreams take: their clients choose how many are read at once. */
export class AnswerMemory {
  private readonly bytesMax: number
  private taken = 0

  constructor(bytesMax = BYTES_MAX) {
    this.bytesMax = bytesMax
  }

  /** Begins to count one answer. It counts until it is released. */
  hold(): HeldAnswer {
    let counted = 0
    return {
      grow: (length) => {
        const more = Math.max(0, length - UNCOUNTED_BYTES) - counted
        if (this.taken + more > this.bytesMax)
          throw new UpstreamError('unavailable', 'too many large answers of upstreams are being read')
        counted += more
        this.taken += more
      },
      release: () => {
        this.taken -= counted
        counted = 0
      },
    }
  }
}

/** The memory of one answer. */
export interface HeldAnswer {
  /** Counts the answer's bytes so far. Throws an UpstreamError `unavailable` if they are too many for the memory. */
  grow(length: number): void
  release(): void
}
