import { Elysia } from 'elysia'
import { registryError, tooManyRequests } from '../oci/error.ts'
import { isNestedDeep, JSON_LEVELS_MAX } from '../oci/image-config.ts'
import { freeChunk } from '../storage/blob-store.ts'

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
  /** The memory for all bodies, and the size of the largest one, in bytes. */
  budgetBytes: number
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
    const { budget } = this
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
          const more = size - bytes.length
          if (!budget.tryTake(share, more)) await watch.pause(budget.wait(share, more, request.signal))
          const larger = new Uint8Array(size)
          larger.set(bytes.subarray(0, watch.length))
          bytes = larger
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
    const message = `the body ${watch.fault ?? 'ended'} after ${watch.length} bytes`
    throw registryError('SIZE_INVALID', message, { status: 408 })
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

function tooLarge(bytesMax: number) {
  return registryError('SIZE_INVALID', `the body is larger than ${bytesMax} bytes`, { status: 413 })
}

const PARSERS = {
  'application/json': parseJson,
  'application/x-www-form-urlencoded': (bytes: Uint8Array): unknown =>
    Object.fromEntries(new URLSearchParams(new TextDecoder().decode(bytes))),
}

/**
 * Reads a body of at most SMALL_BODY_BYTES_MAX and of one type. Returns undefined without a body. Requiring a type
 * prevents cross-site requests: another site can make a browser send a form with its cookies, but not JSON.
 */
export async function readBody(
  bodies: BodyReader,
  source: BodySource,
  type: keyof typeof PARSERS,
  contentType: string,
): Promise<unknown> {
  if (source.request.body === null) return undefined
  if (contentType !== type) {
    throw registryError('REQUEST_INVALID', `the Content-Type of the body must be ${type}`, { status: 415 })
  }
  return await bodies.read(source, SMALL_BODY_BYTES_MAX, async (bytes) => {
    try {
      return PARSERS[type](bytes)
    } catch (error) {
      throw registryError('REQUEST_INVALID', `the body is not ${type}`, { cause: error })
    }
  })
}

/** Reads forms that contain the credentials of the request. */
export function forms(bodies: BodyReader, sourceOf: (request: Request) => BodySource) {
  return new Elysia().onParse({ as: 'scoped' }, ({ request, contentType }) =>
    readBody(bodies, sourceOf(request), 'application/x-www-form-urlencoded', contentType),
  )
}

/** Parses JSON of limited depth, so that recursive readers are safe. */
export function parseJson(bytes: Uint8Array): unknown {
  if (isNestedDeep(bytes)) throw new Error(`deeper than ${JSON_LEVELS_MAX} levels`)
  return JSON.parse(new TextDecoder().decode(bytes))
}

const MiB = 1024 * 1024

/** The largest JSON or form body, in bytes. */
export const SMALL_BODY_BYTES_MAX = 65_536

/** The readers of bodies. Each kind of request has its own, so that it cannot use up the memory of the others. */
export interface Bodies {
  manifests: BodyReader
  /** For requests whose credentials are in the body, so that the client is not authenticated yet. */
  signIn: BodyReader
  /** For authenticated requests to the admin API. */
  admin: BodyReader
  /** Returns why bodies cannot be read; undefined if they can. */
  problem(): string | undefined
}

/** @param manifests the limits of manifests that are being pushed */
export function openBodies(manifests: BodyReaderOptions): Bodies {
  const { stallSecondsMax } = manifests
  const small = (budgetBytes: number) =>
    new BodyReader({ budgetBytes, largestBytes: SMALL_BODY_BYTES_MAX, stallSecondsMax })
  const readers = { manifests: new BodyReader(manifests), signIn: small(MiB), admin: small(4 * MiB) }
  return {
    ...readers,
    problem: () =>
      Object.values(readers)
        .map((reader) => reader.problem())
        .find((problem) => problem !== undefined),
  }
}

/** How many bodies may wait for memory at once. */
const WAITING_MAX = 1000

/** The memory that one body holds, in bytes. Bodies that began earlier have a lower `order`. */
interface MemoryShare {
  readonly client: string | undefined
  readonly order: number
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

  /** The bodies of one client may hold half of the memory. A client is undefined if it is not counted. */
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
