import type { FedBody } from '../../domain/blob-body.ts'
import type { ByteRange } from '../../oci/range.ts'
import type { Upstream } from '../upstream/upstream.ts'
import { UpstreamError } from '../upstream/upstream-error.ts'
import type { FillOrder } from './fill-order.ts'
import { Passage, type PassageOptions } from './passage.ts'

/** How many there can be, including those that wait for a place. */
const PASSAGES_MAX = 1024

/** How often they are checked. */
const CHECK_MILLISECONDS = 1000

/** Ranges that begin later are not sent by themselves. */
const RANGE_START_MAX = 4 * 1024 * 1024

export interface PassagesOptions extends PassageOptions {
  /** Calls `work` again and again. Returns a function that ends this. */
  every?: (milliseconds: number, work: () => void) => () => void
}

/** The blobs that are passed through to one client each, because they do not fit in the cache. */
export class Passages {
  private readonly options: PassagesOptions
  private readonly running = new Set<Passage>()
  private stopChecks: (() => void) | undefined

  constructor(options: PassagesOptions) {
    this.options = options
  }

  /**
   * Starts to pass a blob through. Resolves when the first byte of the range is here.
   *
   * @param milliseconds how long that may take
   * @throws UpstreamError
   */
  async open(order: FillOrder, range: ByteRange, milliseconds: number): Promise<FedBody> {
    if (this.running.size >= PASSAGES_MAX) {
      throw new UpstreamError('unavailable', 'too many others are waiting to be fetched')
    }
    const passage = new Passage(order, range, {
      ...this.options,
      onEnd: () => {
        this.running.delete(passage)
        if (this.running.size === 0) this.stopChecks?.()
        if (this.running.size === 0) this.stopChecks = undefined
      },
    })
    this.running.add(passage)
    this.stopChecks ??= (this.options.every ?? every)(CHECK_MILLISECONDS, () => this.check())
    await passage.begin(milliseconds)
    return passage
  }

  /**
   * Reports whether a range can be sent by itself. A client gets its status line with the first byte, which must not take
   * long: everything before it is fetched, too, and the last byte waits for the whole blob.
   */
  isSendable({ start, end }: ByteRange): boolean {
    return start <= RANGE_START_MAX && end - start > 1
  }

  /** Continues those of an upstream with the one that replaces it. */
  move(from: Upstream, to: Upstream): void {
    for (const { order } of this.running) if (order.upstream === from) order.upstream = to
  }

  /** Ends those of a removed upstream. */
  end(upstream: Upstream): void {
    const reason = new UpstreamError('absent', `the upstream ${upstream.name} was removed`)
    for (const passage of this.running) if (passage.order.upstream === upstream) passage.end(reason)
  }

  /** Ends all. */
  stop(): void {
    for (const passage of this.running) passage.end(new Error('the server is stopping'))
  }

  private check(): void {
    for (const passage of this.running) passage.check()
  }
}

function every(milliseconds: number, work: () => void): () => void {
  const timer = setInterval(work, milliseconds)
  return () => clearInterval(timer)
}
