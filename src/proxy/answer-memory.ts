import { UpstreamError } from './upstream/upstream-error.ts'

/** The bytes of each response that are not counted. Nearly all manifests are smaller. */
const UNCOUNTED_BYTES = 256 * 1024

/** The memory for the rest of large responses, of all upstreams together. */
const BYTES_MAX = 32 * 1024 * 1024

/** Limits the memory for responses of upstreams, because clients decide how many are read at once. */
export class AnswerMemory {
  private readonly bytesMax: number
  private taken = 0

  constructor(bytesMax = BYTES_MAX) {
    this.bytesMax = bytesMax
  }

  /** Starts counting one response, until it is released. */
  hold(): HeldAnswer {
    let counted = 0
    return {
      grow: (length) => {
        const more = Math.max(0, length - UNCOUNTED_BYTES) - counted
        if (this.taken + more > this.bytesMax)
          throw new UpstreamError('unavailable', 'too many large upstream responses are being read')
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

/** The memory of one response. */
export interface HeldAnswer {
  /** Counts the response's bytes so far. Throws an UpstreamError `unavailable` if they do not fit in the memory. */
  grow(length: number): void
  release(): void
}
