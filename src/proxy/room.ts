import type { Logger } from 'pino'
import type { Metadata } from '../metadata/metadata.ts'
import type { Digest } from '../oci/digest.ts'
import type { BlobStore } from '../storage/blob-store.ts'
import type { DigestLocks } from '../storage/digest-locks.ts'
import type { FillStore } from '../storage/uploads/fill-store.ts'
import type { Fill } from './fills/fill.ts'
import type { LastUse } from './last-use.ts'

/** Content used this recently is not evicted, because a request may be between its lookup and its read. */
const PROTECTED_MILLISECONDS = 3000

/**
 * A partial blob may be deleted for space when it has not grown for this long. File times follow the machine's clock.
 */
const IDLE_MILLISECONDS = 600_000

/** How many times evictions are tried for one fill. */
const ROUNDS_MAX = 3

/** How many rows one write of an eviction examines. */
const ROWS_MAX = 200

/** Free space beyond the reserve, for pushes and the database's log between two checks. */
const HEADROOM_BYTES_MAX = 16 * 1024 * 1024

/** Free space is checked each time this many bytes were received, which is much less than the headroom. */
const LOOK_BYTES = 2 * 1024 * 1024

export interface RoomOptions {
  metadata: Metadata
  blobs: Pick<BlobStore, 'delete'>
  store: Pick<FillStore, 'expire'>
  locks: DigestLocks
  lastUse: LastUse
  log: Logger
  now: () => number
  /** The maximum bytes of cached content; 0 for no limit but the disk. */
  bytesMax: number
  /** The bytes of the volume that the cache leaves free; undefined for a share of the volume. */
  freeBytesMin: number | undefined
  /** Measures the disk of the cache. */
  diskNow: () => { totalBytes: number; freeBytes: number }
  /** Returns the fills in progress. */
  fills: () => readonly Fill[]
  onEvicted(bytes: number): void
}

/** Keeps the cache within its limits by evicting the least recently used content. */
export class Room {
  private readonly options: RoomOptions
  private turn: Promise<unknown> = Promise.resolve()
  private received = 0
  private keeping: Promise<void> | undefined

  constructor(options: RoomOptions) {
    this.options = options
  }

  /**
   * Starts a fill if there is space for it, or space can be freed; otherwise returns undefined. Fills are admitted
   * one at a time, so that they do not count the same space twice. A running fill needs no further space.
   */
  admit(
    find: () => Fill | undefined,
    size: number,
    begin: () => Fill | undefined,
  ): Promise<Fill | undefined> {
    const mine = this.turn.then(async () => find() ?? ((await this.make(size)) ? begin() : undefined))
    this.turn = mine.catch(() => {})
    return mine
  }

  /** Evicts what must go before this many bytes that are not a fill's are stored. They are stored in any case. */
  async prepare(bytes: number): Promise<void> {
    const mine = this.turn.then(() => this.make(bytes))
    this.turn = mine.catch(() => {})
    await mine
  }

  /**
   * Evicts until the given bytes are freed, or nothing is left to evict. Returns how many were freed.
   *
   * @param protectedMs content used in the last `protectedMs` milliseconds stays
   */
  async evict(bytes: number, protectedMs = PROTECTED_MILLISECONDS): Promise<number> {
    const { metadata, lastUse, now, onEvicted } = this.options
    await lastUse.flush()
    let freed = await this.dropIdleFills(Date.now() - IDLE_MILLISECONDS)
    // Constant, so that pinned content, which counts as used when it is examined, is examined only once.
    const before = now() - protectedMs
    let more = true
    while (freed < bytes && more) {
      const call = { at: now(), before, bytes: bytes - freed, limit: ROWS_MAX }
      const evicted = await metadata.write('evict', call)
      more = evicted.more
      await this.removeBytes(evicted.blobs)
      freed += evicted.bytes
      onEvicted(evicted.bytes)
    }
    return freed
  }

  /**
   * Deletes interrupted downloads that have not grown since `before` (milliseconds since 1970). Returns their bytes. One
   * that a client requests meanwhile waits until its old bytes are deleted.
   */
  async dropIdleFills(before: number): Promise<number> {
    const { store, fills } = this.options
    const isRunning = (id: string) => fills().some(({ upload }) => upload.id === id)
    return await store.expire(before, isRunning)
  }

  /** Counts received bytes, so that the cache evicts content before pushes fill the disk. */
  noteReceived(bytes: number): void {
    this.received += bytes
    if (this.received >= LOOK_BYTES) void this.keep()
  }

  /** Evicts what exceeds the limits: the reserve of free space, and the maximum size if it was lowered. */
  keep(): Promise<void> {
    this.received = 0
    this.keeping ??= this.keepLimits().finally(() => {
      this.keeping = undefined
    })
    return this.keeping
  }

  /** Removes the bytes of blobs whose rows were removed, unless a push has linked them meanwhile. */
  async removeBytes(evicted: readonly { digest: Digest }[]): Promise<void> {
    const { metadata, blobs, locks, log } = this.options
    const remove = async (digest: Digest) => {
      try {
        await locks.remove(digest, async () => {
          if (!metadata.blobs.isStored(digest)) await blobs.delete(digest)
        })
      } catch (cause) {
        log.error({ digest, cause }, 'cannot remove the bytes of an evicted blob: the next scan will')
      }
    }
    await Promise.all(evicted.map(({ digest }) => remove(digest)))
  }

  private async make(bytes: number): Promise<boolean> {
    for (let round = 0; ; round++) {
      const { short, isPossible } = this.measure(bytes)
      if (short <= 0) return true
      if (!isPossible || round === ROUNDS_MAX) return false
      if ((await this.evict(short)) === 0) return false
    }
  }

  /** Returns how many bytes a fill lacks, and whether evicting the whole cache would be enough. */
  private measure(bytes: number): { short: number; isPossible: boolean } {
    const { metadata, bytesMax, diskNow, fills } = this.options
    // A complete one that is linked already counts as cached. The others need no query.
    const running = fills().filter(
      ({ order, received }) => received < order.size || !metadata.blobs.isStored(order.digest),
    )
    // Read after the fills, so that one that is linked in between counts twice rather than not at all.
    const cached = metadata.cache.totals().bytes
    const whole = running.reduce((sum, { order }) => sum + order.size, 0)
    const missing = running.reduce((sum, { order, received }) => sum + order.size - received, 0)
    const { totalBytes, freeBytes } = diskNow()
    const overCap = bytesMax === 0 ? 0 : cached + whole + bytes - bytesMax
    const overReserve = missing + bytes + this.reserveOf(totalBytes) - freeBytes
    const short = Math.max(overCap, overReserve)
    return { short, isPossible: short <= cached }
  }

  private async keepLimits(): Promise<void> {
    const { metadata, bytesMax, diskNow, log } = this.options
    const cached = metadata.cache.totals().bytes
    if (cached === 0) return
    try {
      const { totalBytes, freeBytes } = diskNow()
      const overCap = bytesMax === 0 ? 0 : cached - bytesMax
      const short = Math.max(overCap, this.reserveOf(totalBytes) - freeBytes)
      if (short <= 0) return
      const freed = await this.evict(short)
      // Pushes have priority: before the disk is full, even recently used content is evicted.
      if (freed < short) await this.evict(short - freed, -1)
    } catch (cause) {
      log.error({ cause }, 'cannot keep the cache within its limits')
    }
  }

  /** Returns the reserve of free space, including the headroom. */
  private reserveOf(totalBytes: number): number {
    const reserve = this.options.freeBytesMin ?? Math.min(totalBytes / 10, 10 * 1024 ** 3)
    return reserve + Math.min(HEADROOM_BYTES_MAX, reserve / 2)
  }
}
