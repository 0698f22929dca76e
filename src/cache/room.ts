import type { Logger } from 'pino'
import type { Metadata } from '../database/metadata.ts'
import { isDiskFull } from '../oci/error.ts'
import type { Digest } from '../oci/reference.ts'
import type { BlobStore, FillStore, PartialBlob, Upload } from '../storage/blob-store.ts'
import type { DigestLocks } from '../storage/digest-locks.ts'
import type { Fill } from './fills.ts'
import type { LastUse } from './flights.ts'

/** Content used this recently is not evicted, because a request may be between its lookup and its read. */
const PROTECTED_MILLISECONDS = 3000

/** A partial blob that has not grown for this long is deleted before anything else is evicted. */
const IDLE_MILLISECONDS = 600_000

/** How many times evictions are tried for one fill. */
const ROUNDS_MAX = 3

/** How many rows one write of an eviction examines. */
const ROWS_MAX = 200

/**
 * A manifest can state any size for a blob. Before this much is evicted, or this share of a small cache, the upstream must
 * confirm it.
 */
const UNCONFIRMED_BYTES_MAX = 16 * 1024 * 1024
const UNCONFIRMED_SHARE_MAX = 1 / 16

/** The share of the cache's maximum size that blobs leave free for manifests. */
const MANIFEST_SHARE = 1 / 64

/** How many bytes are freed at least for a push that found the disk full, so that it seldom happens twice. */
const GIVE_WAY_BYTES = 16 * 1024 * 1024

/**
 * Free space beyond the reserve, for what pushes write between two checks, and for the database, which must be able to
 * write that content is evicted. On a small volume it is less.
 */
const HEADROOM_BYTES_MAX = 16 * 1024 * 1024

/** Free space is checked each time this many bytes were received, which is much less than the headroom. */
const LOOK_BYTES = 2 * 1024 * 1024

interface RoomOptions {
  metadata: Metadata
  blobs: Pick<BlobStore, 'delete'>
  partials: Partials
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

/** What is about to be stored. The upload of a fill may have some of these bytes. */
type Need = { bytes: number; isManifest?: boolean; upload?: Upload }

/** Keeps the cache within its limits by evicting the least recently used content. */
export class Room {
  private readonly options: RoomOptions
  private turn: Promise<unknown> = Promise.resolve()
  /** The bytes of manifests that are being written. */
  private storing = 0
  private received = 0
  private keeping: Promise<void> | undefined
  /** What pushes wait for. */
  private evicting: Promise<void> | undefined
  /** Whether the last time that the limits were checked there was nothing to evict. */
  private isExhausted = false

  constructor(options: RoomOptions) {
    this.options = options
  }

  /**
   * Starts a fill if there is space for it, or space can be freed; otherwise returns undefined. Fills are admitted
   * one at a time, so that they do not count the same space twice. A running fill needs no further space.
   */
  admit(find: () => Fill | undefined, need: Need, begin: () => Fill | undefined): Promise<Fill | undefined> {
    const mine = this.turn.then(async () => find() ?? ((await this.make(need)) ? begin() : undefined))
    this.turn = mine.catch(() => {})
    return mine
  }

  /** Reports whether so much would be evicted for a blob that its upstream must confirm its size first. */
  needsConfirmation(need: Need): boolean {
    const { short, cached, isPossible } = this.measure(need)
    return isPossible && short > Math.min(UNCONFIRMED_BYTES_MAX, cached * UNCONFIRMED_SHARE_MAX)
  }

  /**
   * Stores a manifest of this many bytes with `write`, after evicting what must go. Returns undefined, without storing it,
   * if it would exceed the maximum size of the cache. The reserve of free space does not prevent it.
   */
  async store<T>(bytes: number, write: () => Promise<T>): Promise<T | undefined> {
    const admitting = this.turn.then(() => this.admitManifest(bytes))
    this.turn = admitting.catch(() => {})
    if (!(await admitting)) return undefined
    try {
      return await write()
    } finally {
      this.storing -= bytes
    }
  }

  /**
   * Evicts until the given bytes are freed, or nothing is left to evict. Returns how many were freed. Downloads that were
   * interrupted a while ago are deleted first, and the others last, because a client may be about to resume them.
   *
   * @param protectedMs content used in the last so many milliseconds stays
   * @param keep the upload that is about to be resumed
   */
  async evict(bytes: number, protectedMs = PROTECTED_MILLISECONDS, keep?: Upload): Promise<number> {
    const { metadata, lastUse, partials, now, onEvicted } = this.options
    await Promise.all([lastUse.flush().catch(unlessFull), partials.load()])
    let freed = await partials.drop({ before: now() - IDLE_MILLISECONDS, keep })
    // Constant, so that pinned content, which counts as used when it is examined, is examined only once.
    const before = now() - protectedMs
    let [more, limit] = [true, ROWS_MAX]
    while (freed < bytes && more) {
      const call = { at: now(), before, bytes: bytes - freed, limit }
      const evicted = await metadata.write('evict', call).catch(unlessFull)
      if (evicted === undefined) {
        // On a full disk there may still be room for a small write, which then makes room for larger ones.
        if (limit === 1) break
        limit = 1
        continue
      }
      more = evicted.more
      await this.removeBytes(evicted.blobs)
      freed += evicted.bytes
      onEvicted(evicted.bytes)
    }
    if (freed < bytes) freed += await partials.drop({ before, bytes: bytes - freed, keep })
    return freed
  }

  /** Evicts for a push that found the disk full. Resolves to false if all that is left is pinned, or is being fetched. */
  async giveWay(): Promise<boolean> {
    const { log } = this.options
    const bytes = Math.max(GIVE_WAY_BYTES, this.underReserve())
    try {
      return (await this.evict(bytes, -1)) > 0
    } catch (cause) {
      log.error({ cause }, 'cannot evict cached content for a push')
      return false
    }
  }

  /**
   * Deletes interrupted downloads that have not grown since `before` (milliseconds since 1970). Returns their bytes.
   */
  async dropIdleFills(before: number): Promise<number> {
    const { partials } = this.options
    await partials.load()
    return await partials.drop({ before })
  }

  /**
   * Counts bytes that a push is about to write. If it must wait, because content is evicted so that the disk does not
   * become full, returns a promise.
   */
  pacePush(bytes: number): Promise<void> | undefined {
    this.received += bytes
    if (this.received < LOOK_BYTES) return this.evicting
    this.received = 0
    if (this.underReserve() <= 0 || this.isExhausted) return undefined
    this.evicting ??= this.keep().finally(() => {
      this.evicting = undefined
    })
    return this.evicting
  }

  /** Evicts what exceeds the limits: the reserve of free space, and the maximum size if it was lowered. */
  keep(): Promise<void> {
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

  /** Returns whether a manifest may be stored. Its bytes then count until it is. */
  private async admitManifest(bytes: number): Promise<boolean> {
    const need = { bytes, isManifest: true }
    if (!(await this.make(need)) && this.measure(need).overCap > 0) return false
    this.storing += bytes
    return true
  }

  private async make(need: Need): Promise<boolean> {
    await this.options.partials.load()
    for (let round = 0; ; round++) {
      const { short, isPossible } = this.measure(need)
      if (short <= 0) return true
      if (!isPossible || round === ROUNDS_MAX) return false
      if ((await this.evict(short, undefined, need.upload)) === 0) return false
    }
  }

  /**
   * Returns the bytes that are lacking, those by which the maximum size would be exceeded, those that are cached, and
   * whether evicting everything would be enough.
   */
  private measure({ bytes, isManifest = false, upload }: Need) {
    const { metadata, partials, bytesMax, fills } = this.options
    // A complete one that is linked already counts as cached. The others need no query.
    const running = fills().filter(
      ({ order, received }) => received < order.size || !metadata.blobs.isStored(order.digest),
    )
    // Read after the fills, so that one that is linked in between counts twice rather than not at all.
    const have = upload === undefined ? 0 : partials.sizeOf(upload)
    const cached = metadata.cache.totals().bytes + partials.bytes(fills()) - have
    const whole = running.reduce((sum, { order }) => sum + order.size, 0)
    const missing = running.reduce((sum, { order, received }) => sum + order.size - received, 0)
    const allowed = isManifest ? bytesMax : bytesMax * (1 - MANIFEST_SHARE)
    const overCap = bytesMax === 0 ? 0 : cached + whole + this.storing + bytes - allowed
    const overReserve = missing + this.storing + bytes - have + this.underReserve()
    const short = Math.max(overCap, overReserve)
    return { short, overCap, cached, isPossible: short <= cached }
  }

  private async keepLimits(): Promise<void> {
    const { metadata, partials, fills, bytesMax, log } = this.options
    try {
      await partials.load()
      const cached = metadata.cache.totals().bytes + partials.bytes(fills())
      this.isExhausted = cached === 0
      if (this.isExhausted) return
      const overCap = bytesMax === 0 ? 0 : cached - bytesMax
      const short = Math.max(overCap, this.underReserve())
      if (short <= 0) return
      const freed = await this.evict(short)
      // Pushes have priority: before the disk is full, even recently used content is evicted.
      if (freed < short) this.isExhausted = freed + (await this.evict(short - freed, -1)) === 0
    } catch (cause) {
      log.error({ cause }, 'cannot keep the cache within its limits')
    }
  }

  /** Returns by how many bytes the reserve of free space, including the headroom, is not kept now; negative if it is. */
  private underReserve(): number {
    const { totalBytes, freeBytes } = this.options.diskNow()
    const reserve = this.options.freeBytesMin ?? Math.min(totalBytes / 10, 10 * 1024 ** 3)
    return reserve + Math.min(HEADROOM_BYTES_MAX, Math.max(reserve / 2, totalBytes / 20)) - freeBytes
  }
}

/** Returns how pushes get their room. `room` is called with each push, because the uploads are created before it. */
export function pushRoom(room: () => Room) {
  return { pace: (bytes: number) => room().pacePush(bytes), onDiskFull: () => room().giveWay() }
}

interface PartialsOptions {
  store: Pick<FillStore, 'list' | 'cancel'>
  /** Reports whether a running fill uses the upload of this id. */
  isRunning(id: string): boolean
  now: () => number
  log: Logger
}

/**
 * Knows the partial blobs on the disk: what interrupted fills left, for the next request to resume. The disk is read once,
 * when `load` is first called. From then on, fills report what they leave.
 */
export class Partials {
  private readonly options: PartialsOptions
  /** By the id of the upload, those that have not grown for longest first. */
  private readonly known = new Map<string, PartialBlob>()
  private sum = 0
  private loading: Promise<void> | undefined

  constructor(options: PartialsOptions) {
    this.options = options
  }

  /** Reads which partial blobs an earlier process left. Before that, none is known. */
  load(): Promise<void> {
    this.loading ??= this.readAll().catch((cause) => {
      this.options.log.error({ cause }, 'cannot list interrupted downloads')
      this.loading = undefined
    })
    return this.loading
  }

  /** Records how many bytes a fill has left behind when it ended. */
  note(upload: Upload, size: number): void {
    const changedAt = this.options.now()
    // Otherwise the file is listed when they are loaded.
    this.loading?.then(() => this.put({ upload, size, changedAt }))
  }

  /** Returns how many bytes an upload has. */
  sizeOf({ id }: Upload): number {
    return this.known.get(id)?.size ?? 0
  }

  /** Returns the bytes of those that no fill is resuming. */
  bytes(running: readonly { upload: Upload }[]): number {
    return running.reduce((rest, { upload }) => rest - this.sizeOf(upload), this.sum)
  }

  /**
   * Deletes those that no fill is resuming and that have not grown since `before` (milliseconds since 1970), the oldest
   * first, until `bytes` are freed. Returns how many bytes they had. A fill that begins meanwhile waits until its old
   * bytes are deleted.
   *
   * @param keep the upload that is about to be resumed
   */
  async drop({
    before,
    bytes = Number.POSITIVE_INFINITY,
    keep,
  }: {
    before: number
    bytes?: number
    keep?: Upload | undefined
  }): Promise<number> {
    const { store, isRunning } = this.options
    let freed = 0
    for (const { upload, size, changedAt } of [...this.known.values()]) {
      if (freed >= bytes) break
      const isUsed = isRunning(upload.id) || upload.id === keep?.id
      if (isUsed || changedAt >= before || this.known.get(upload.id)?.size !== size) continue
      this.remove(upload.id)
      await store.cancel(upload)
      freed += size
    }
    return freed
  }

  private async readAll(): Promise<void> {
    const { store, now } = this.options
    const found: PartialBlob[] = []
    for await (const { upload, size, changedAt } of store.list()) {
      // Times of files follow the machine's clock, which may not be the one of `now`.
      found.push({ upload, size, changedAt: now() - Math.max(0, Date.now() - changedAt) })
    }
    for (const partial of found.sort((a, b) => a.changedAt - b.changedAt)) this.put(partial)
  }

  private put(partial: PartialBlob): void {
    this.remove(partial.upload.id)
    if (partial.size === 0) return
    this.known.set(partial.upload.id, partial)
    this.sum += partial.size
  }

  private remove(id: string): void {
    this.sum -= this.known.get(id)?.size ?? 0
    this.known.delete(id)
  }
}

/** How many bytes are evicted for something small. The database needs some of them to write it. */
const EVICTED_BYTES = 16 * 1024 * 1024

/** Stores something small. If the disk is full, evicts and tries once more. */
export async function evictingOnce<T>(room: Pick<Room, 'evict'>, store: () => Promise<T>): Promise<T> {
  try {
    return await store()
  } catch (error) {
    unlessFull(error)
    if ((await room.evict(EVICTED_BYTES)) === 0) throw error
    return await store()
  }
}

/** Throws an error again, unless it is that of a full disk. */
export function unlessFull(error: unknown): undefined {
  if (!isDiskFull(error)) throw error
  return undefined
}
