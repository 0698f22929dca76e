import type { Logger } from 'pino'
import type { Metadata } from '../metadata/metadata.ts'
import type { Digest } from '../oci/digest.ts'
import type { BlobStore } from '../storage/blob-store.ts'
import type { DigestLocks } from '../storage/digest-locks.ts'
import type { FillStore } from '../storage/fill-store.ts'
import type { Fill } from './fill.ts'
import type { LastUse } from './last-use.ts'

/** What was used in the last moment stays: it is between a look-up and its read. */
const PROTECTED_MILLISECONDS = 3000

/** A partial blob is dropped for room when it did not grow for so long. Files have the time of the machine's clock. */
const IDLE_MILLISECONDS = 600_000

/** How often room is made for one fill before it is given up. */
const ROUNDS_MAX = 3

/** Rows that one write of an eviction looks at. */
const ROWS_MAX = 200

/** What is kept free beside the reserve, for what grows between two looks: pushes, and the database's log. */
const HEADROOM_BYTES_MAX = 16 * 1024 * 1024

/** Free space is looked at after so many bytes were received: much less than the headroom, so that looks come in time. */
const LOOK_BYTES = 2 * 1024 * 1024

export interface RoomOptions {
  metadata: Metadata
  blobs: Pick<BlobStore, 'delete'>
  store: Pick<FillStore, 'expire'>
  locks: DigestLocks
  lastUse: LastUse
  log: Logger
  now: () => number
  /** Bytes that cached blobs may take; 0 for as many as there are. */
  bytesMax: number
  /** Bytes of the volume that are kept free of the cache; undefined for a part of the volume. */
  freeBytesMin: number | undefined
  disk: () => Promise<{ totalBytes: number; freeBytes: number }>
  /** The fills that go on. */
  fills: () => readonly Fill[]
  onEvicted(bytes: number): void
}

/** Keeps the cache within its bounds, by evicting what was used least recently. */
export class Room {
  private readonly options: RoomOptions
  private turn: Promise<unknown> = Promise.resolve()
  private received = 0
  private keeping: Promise<void> | undefined

  constructor(options: RoomOptions) {
    this.options = options
  }

  /**
   * Begins a fill if there is room for it, or room can be made. Returns undefined if not. Fills are admitted one at a
   * time, so that none takes the room of another. One that is running already needs no further room.
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

  /**
   * Evicts until so many bytes are free, or nothing is left to evict; answers how many were freed.
   *
   * @param protectedMs what was used in the last so many milliseconds stays
   */
  async evict(bytes: number, protectedMs = PROTECTED_MILLISECONDS): Promise<number> {
    const { metadata, lastUse, now, onEvicted } = this.options
    await lastUse.flush()
    let freed = await this.dropIdleFills()
    // It stays the same, so that pinned content, which counts as used, is looked at once.
    const before = now() - protectedMs
    let more = true
    while (freed < bytes && more) {
      const call = { at: now(), before, bytes: bytes - freed, limit: ROWS_MAX }
      const evicted = await metadata.write('evict', call)
      more = evicted.more
      await this.removeBytes(evicted.blobs)
      const sum = evicted.blobs.reduce((total, { size }) => total + size, 0)
      freed += sum
      onEvicted(sum)
    }
    return freed
  }

  /** Downloads that broke off and that nobody has asked for since. */
  private async dropIdleFills(): Promise<number> {
    const { store, fills } = this.options
    const running = new Set(fills().map(({ order }) => order.digest))
    return await store.expire(Date.now() - IDLE_MILLISECONDS, (digest) => running.has(digest))
  }

  /** Bytes were received: the cache gives way before pushes find the disk full. */
  noteReceived(bytes: number): void {
    this.received += bytes
    if (this.received >= LOOK_BYTES) void this.keep()
  }

  /** Evicts what is above the limits: the reserve of free space, and a cap that was lowered. */
  keep(): Promise<void> {
    this.received = 0
    this.keeping ??= this.keepLimits().finally(() => {
      this.keeping = undefined
    })
    return this.keeping
  }

  /** Removes the bytes of blobs whose rows are gone; those that a push has named meanwhile stay. */
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
      const { short, isPossible } = await this.measure(bytes)
      if (short <= 0) return true
      if (!isPossible || round === ROUNDS_MAX) return false
      if ((await this.evict(short)) === 0) return false
    }
  }

  /** How many bytes are missing for a fill, and whether the whole cache would be enough. */
  private async measure(bytes: number): Promise<{ short: number; isPossible: boolean }> {
    const { metadata, bytesMax, disk, fills } = this.options
    const cached = metadata.cache.totals().bytes
    // A whole one that is linked already is part of what is cached. The others need no look at the database.
    const running = fills().filter(
      ({ order, received }) => received < order.size || !metadata.blobs.isStored(order.digest),
    )
    const whole = running.reduce((sum, { order }) => sum + order.size, 0)
    const missing = running.reduce((sum, { order, received }) => sum + order.size - received, 0)
    const { totalBytes, freeBytes } = await disk()
    const overCap = bytesMax === 0 ? 0 : cached + whole + bytes - bytesMax
    const overReserve = missing + bytes + this.reserveOf(totalBytes) - freeBytes
    const short = Math.max(overCap, overReserve)
    return { short, isPossible: short <= cached }
  }

  private async keepLimits(): Promise<void> {
    const { metadata, bytesMax, disk, log } = this.options
    const cached = metadata.cache.totals().bytes
    if (cached === 0) return
    try {
      const { totalBytes, freeBytes } = await disk()
      const overCap = bytesMax === 0 ? 0 : cached - bytesMax
      const short = Math.max(overCap, this.reserveOf(totalBytes) - freeBytes)
      if (short <= 0) return
      const freed = await this.evict(short)
      // Pushes come first: before the disk is full, what was used a moment ago goes as well.
      if (freed < short) await this.evict(short - freed, -1)
    } catch (cause) {
      log.error({ cause }, 'cannot keep the cache within its limits')
    }
  }

  /** The reserve of free space with its headroom. */
  private reserveOf(totalBytes: number): number {
    const reserve = this.options.freeBytesMin ?? Math.min(totalBytes / 10, 10 * 1024 ** 3)
    return reserve + Math.min(HEADROOM_BYTES_MAX, reserve / 2)
  }
}
