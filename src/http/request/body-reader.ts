import { freeChunk } from '../../domain/chunk.ts'
import { registryError } from '../../oci/error.ts'
import { MemoryBudget, type MemoryShare } from './memory-budget.ts'

/** How long a body may wait for memory by default. */
const WAIT_SECONDS_MAX = 30

/** How long a body may take in total, not counting the time that it waits for memory. */
const BODY_SECONDS_MAX = 120

/** The minimum average rate of a body after the first seconds. */
const SLOW_START_SECONDS = 10
const BYTES_PER_SECOND_MIN = 1024

/** If waiting bodies make no progress for this long, the server has failed. */
const STUCK_SECONDS = 40

/** The initial memory of a body that does not arrive in one chunk, in bytes. */
const FIRST_BYTES = 1024

export interface BodyReaderOptions {
  /** The memory for all bodies, in bytes. */
  budgetBytes: number
  /** The size of the largest body, in bytes. */
  largestBytes: number
  /** How long a body may stall before it is abandoned. */
  stallSecondsMax: number
  /** How long a body may wait for memory. */
  waitSecondsMax?: number
}

/** A request whose body is read, and its client; undefined for one that is not counted. */
export interface BodySource {
  request: Request
  client: string | undefined
}

/**
 * Reads whole bodies of one kind of request into memory. How much memory a client holds, and for how long, depends on
 * the bytes that it sends, not on the length that it announces.
 */
export class BodyReader {
  private readonly budget: MemoryBudget
  private readonly stallSecondsMax: number

  constructor(options: BodyReaderOptions) {
    const { budgetBytes, largestBytes, stallSecondsMax, waitSecondsMax = WAIT_SECONDS_MAX } = options
    this.budget = new MemoryBudget(budgetBytes, largestBytes, waitSecondsMax)
    this.stallSecondsMax = stallSecondsMax
  }

  /** Returns why bodies cannot be read; undefined if they can. */
  problem(): string | undefined {
    const seconds = Math.floor(this.budget.stuckSeconds)
    return seconds < STUCK_SECONDS
      ? undefined
      : `request bodies have been waiting for memory for ${seconds} s`
  }

  /**
   * Reads a body of at most `bytesMax` bytes and passes it to `use`. Its memory is released when `use` has ended.
   *
   * @throws RegistryError with status 413 for a larger body, 408 for one that ends early or is too slow, 503 when
   * memory stays unavailable for too long
   */
  async read<T>(
    { request, client }: BodySource,
    bytesMax: number,
    use: (bytes: Uint8Array<ArrayBuffer>) => Promise<T>,
  ): Promise<T> {
    const length = request.headers.get('content-length')
    // The front door has checked the header.
    const declared = length === null ? undefined : Number(length)
    if (declared !== undefined && !(declared <= bytesMax)) throw tooLarge(bytesMax)
    const share = this.budget.begin(client)
    try {
      return await use(await this.collect(request, share, { declared, bytesMax }))
    } finally {
      this.budget.end(share)
    }
  }

  private async collect(
    request: Request,
    share: MemoryShare,
    { declared, bytesMax }: { declared: number | undefined; bytesMax: number },
  ): Promise<Uint8Array<ArrayBuffer>> {
    if (request.body === null) return new Uint8Array()
    const limit = declared ?? bytesMax
    const reader = (request.body as ReadableStream<Uint8Array<ArrayBuffer>>).getReader()
    const watch = new Watch(this.stallSecondsMax, () => void reader.cancel().catch(() => {}))
    let bytes = new Uint8Array()
    try {
      for (;;) {
        const { done, value } = await reader.read()
        if (done) break
        const end = watch.length + value.length
        if (end > limit) throw tooLarge(bytesMax)
        if (end > bytes.length) {
          const size = end === declared ? end : Math.min(limit, Math.max(FIRST_BYTES, end, bytes.length * 2))
          await watch.pause(this.take(request, share, size - bytes.length))
          bytes = grown(bytes.subarray(0, watch.length), size)
        }
        bytes.set(value, watch.length)
        watch.came(value.length)
        freeChunk(value)
      }
    } finally {
      watch.stop()
      reader.releaseLock()
    }
    if (watch.fault === undefined && (declared === undefined || watch.length === declared)) {
      return bytes.subarray(0, watch.length)
    }
    throw tooSlow(watch.fault ?? 'ended', watch.length)
  }

  private async take(request: Request, share: MemoryShare, bytes: number): Promise<void> {
    if (!this.budget.tryTake(share, bytes)) await this.budget.wait(share, bytes, request.signal)
  }
}

/** Checks that a body arrives fast enough. */
class Watch {
  /** The received bytes. */
  length = 0
  /** Why the body is refused. */
  fault: string | undefined
  private readonly timer: Timer
  private began = performance.now()
  private last = this.began
  private isPaused = false

  constructor(stallSecondsMax: number, onFault: () => void) {
    const check = () => {
      this.fault ??= this.isPaused ? undefined : this.look(stallSecondsMax)
      if (this.fault !== undefined) onFault()
    }
    this.timer = setInterval(check, 500)
  }

  came(bytes: number): void {
    this.length += bytes
    this.last = performance.now()
  }

  /** Waits without counting the time against the body. */
  async pause(other: Promise<void>): Promise<void> {
    const from = performance.now()
    this.isPaused = true
    await other
    this.isPaused = false
    this.began += performance.now() - from
  }

  stop(): void {
    clearInterval(this.timer)
  }

  private look(stallSecondsMax: number): string | undefined {
    const now = performance.now()
    const seconds = (now - this.began) / 1000
    if (now - this.last >= stallSecondsMax * 1000) return 'stalled'
    if (seconds > BODY_SECONDS_MAX) return `took longer than ${BODY_SECONDS_MAX} seconds`
    const isSlow = this.length < (seconds - SLOW_START_SECONDS) * BYTES_PER_SECOND_MIN
    return isSlow ? `was slower than ${BYTES_PER_SECOND_MIN} bytes a second` : undefined
  }
}

function grown(bytes: Uint8Array<ArrayBuffer>, size: number): Uint8Array<ArrayBuffer> {
  const larger = new Uint8Array(size)
  larger.set(bytes)
  return larger
}

function tooSlow(fault: string, length: number) {
  return registryError('SIZE_INVALID', `the body ${fault} after ${length} bytes`, { status: 408 })
}

function tooLarge(bytesMax: number) {
  return registryError('SIZE_INVALID', `the body is larger than ${bytesMax} bytes`, { status: 413 })
}
