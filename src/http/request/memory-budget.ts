import { tooManyRequests } from '../../oci/error.ts'

/** How many bodies may wait for memory at once. */
const WAITING_MAX = 1000

/** The memory that one body holds. */
export interface MemoryShare {
  /** The client; undefined for one that is not counted. */
  readonly client: string | undefined
  /** Bodies that began earlier have lower numbers. */
  readonly order: number
  /** In bytes. */
  held: number
}

interface Waiting {
  share: MemoryShare
  bytes: number
  resolve: () => void
}

/**
 * Memory that bodies share. A body takes memory as its bytes arrive. A weighted semaphore (async-mutex) would have to
 * acquire the announced size at the start, so a client that announces much and sends little would lock others out.
 *
 * Bodies that hold some memory and wait for more cannot deadlock: memory for one body of the largest size is reserved
 * for the oldest one that waits, so that one always proceeds.
 */
export class MemoryBudget {
  private readonly shared: number
  private readonly perClientMax: number
  private readonly waitSecondsMax: number
  private readonly byClient = new Map<string, number>()
  private readonly waiting = new Set<Waiting>()
  private begun = 0
  private held = 0
  /** The body that uses the reserve, and so may take as much as the largest body needs. */
  private favoured: MemoryShare | undefined
  private movedAt = 0

  /**
   * @param bytes the memory for all bodies
   * @param largestBytes the size of the largest body
   * @param waitSecondsMax how long a body may wait
   */
  constructor(bytes: number, largestBytes: number, waitSecondsMax: number) {
    this.waitSecondsMax = waitSecondsMax
    this.shared = Math.max(0, bytes - largestBytes)
    this.perClientMax = this.shared / 2
  }

  /** @param client the bodies of one client may hold half of the memory; undefined for one that is not counted */
  begin(client: string | undefined): MemoryShare {
    return { client, order: this.begun++, held: 0 }
  }

  /** Returns for how many seconds bodies have waited without progress: none got memory and none ended. */
  get stuckSeconds(): number {
    return this.waiting.size === 0 ? 0 : (performance.now() - this.movedAt) / 1000
  }

  /** Gives memory to a body if some is free. */
  tryTake(share: MemoryShare, bytes: number): boolean {
    if (share !== this.favoured) {
      if (this.held + bytes > this.shared) return false
      const ofClient = share.client === undefined ? undefined : (this.byClient.get(share.client) ?? 0)
      if (ofClient !== undefined && ofClient + bytes > this.perClientMax) return false
      this.count(share, bytes)
    }
    share.held += bytes
    return true
  }

  /**
   * Resolves when the body has been given memory.
   *
   * @param gone aborted when the client disconnects, which ends the wait
   * @throws RegistryError with status 503 when the wait is too long
   */
  async wait(share: MemoryShare, bytes: number, gone: AbortSignal): Promise<void> {
    if (this.waiting.size >= WAITING_MAX) throw busy()
    if (this.waiting.size === 0) this.movedAt = performance.now()
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const waiting: Waiting = { share, bytes, resolve }
    const late = AbortSignal.timeout(this.waitSecondsMax * 1000)
    const give = () => reject(gone.aborted ? gone.reason : busy())
    const ended = AbortSignal.any([gone, late])
    ended.addEventListener('abort', give)
    this.waiting.add(waiting)
    if (ended.aborted) give()
    else this.serve()
    try {
      await promise
    } finally {
      ended.removeEventListener('abort', give)
      this.waiting.delete(waiting)
    }
  }

  /** Releases all memory that a body holds. */
  end(share: MemoryShare): void {
    if (this.favoured === share) this.favoured = undefined
    else this.count(share, -share.held)
    if (this.waiting.size > 0) this.serve()
  }

  private serve(): void {
    for (const waiting of [...this.waiting].sort((a, b) => a.share.order - b.share.order)) {
      const { share, bytes, resolve } = waiting
      if (!this.tryTake(share, bytes)) {
        if (this.favoured !== undefined) continue
        this.favour(share)
        this.tryTake(share, bytes)
      }
      this.movedAt = performance.now()
      this.waiting.delete(waiting)
      resolve()
    }
  }

  /** Lets a body use the reserve. What it holds no longer counts as shared memory. */
  private favour(share: MemoryShare): void {
    this.count(share, -share.held)
    this.favoured = share
  }

  private count({ client }: MemoryShare, bytes: number): void {
    this.held += bytes
    if (client === undefined) return
    const now = (this.byClient.get(client) ?? 0) + bytes
    if (now > 0) this.byClient.set(client, now)
    else this.byClient.delete(client)
  }
}

function busy() {
  return tooManyRequests('too many requests wait for memory: try again soon', 5, 503)
}
