import { isDiskFull, registryError } from '../oci/error.ts'
import { freeChunk, type UploadBody } from './blob-store.ts'
import type { Digester, FilledSlot, SlotPool, UploadFile } from './digesters.ts'

/** How many filled slots of one upload may be unwritten at once. */
const SLOTS_UNWRITTEN_MAX = 8

/**
 * How many messages of one upload may be with its digester at once. Slots that are filled meanwhile are sent together in
 * the next one, because each message wakes two threads.
 */
const MESSAGES_IN_FLIGHT_MAX = 2

/** How often a body is checked for a stall. */
const WATCH_MILLISECONDS = 100

interface AppendOptions {
  turns: Turns
  pool: SlotPool
  digester: Digester
  upload: UploadFile
  /** How many more bytes are accepted. */
  bytesMax: number
  /** How long a body may stall before it is abandoned. */
  stallSecondsMax: number
  /** How many bytes the file has. */
  fileSize: number
  /** Waits until there is room for bytes that have arrived. */
  pace?: ((bytes: number) => Promise<void> | undefined) | undefined
  /** Frees space. Resolves to false when there is nothing to free, so that the append fails. */
  onDiskFull?: (() => Promise<boolean>) | undefined
  /** Called with each part written to the file. Its memory is reused afterwards. */
  onWritten: (part: Uint8Array) => void
}

/**
 * Sends a body through the pool to its digester. Resolves when all of it is in the file, except for the tail if the
 * caller asked for that. Rejects with the first error; everything received before it is in the file then, too.
 */
export async function appendBody(
  body: UploadBody,
  options: AppendOptions,
  keepFilledSlot = false,
): Promise<FilledSlot | undefined> {
  const sender = new SlotSender(options, body)
  const turn = options.turns.begin(body.length, body.client)
  try {
    await turn.take()
    if (body.stream !== null) await readStream(body.stream, body, turn, sender, options)
  } catch (error) {
    turn.end()
    await sender.finish()
    throw error
  }
  turn.end()
  const tail = keepFilledSlot ? sender.detach() : undefined
  try {
    await sender.finish()
  } catch (error) {
    if (tail) options.pool.give(tail.slot)
    throw error
  }
  return tail
}

async function readStream(
  stream: ReadableStream<Uint8Array>,
  { ownsChunks, handlesDiskFull, pace, skip = 0 }: UploadBody,
  turn: Turn,
  sender: SlotSender,
  options: AppendOptions,
): Promise<void> {
  const reader = stream.getReader()
  const watch = watchBody(reader, turn, options.stallSecondsMax)
  let [left, skipped] = [options.bytesMax, skip]
  try {
    for (;;) {
      await turn.take()
      watch.waiting()
      const { done, value } = await reader.read()
      watch.came()
      if (done) break
      await pace?.(value.length)
      if (!handlesDiskFull) await options.pace?.(value.length)
      turn.came(value.length)
      const rest = value.subarray(Math.min(skipped, value.length))
      skipped -= value.length - rest.length
      left -= rest.length
      if (left < 0) {
        const message = 'the blob is larger than this registry accepts'
        throw registryError('SIZE_INVALID', message, { status: 413 })
      }
      if (rest.length > 0) await sender.add(rest)
      if (ownsChunks) freeChunk(value)
    }
    watch.check()
  } finally {
    watch.stop()
    reader.releaseLock()
  }
}

type Reader = ReturnType<ReadableStream<Uint8Array>['getReader']>

/** Makes a slow body give up its place. Cancels a reader that waits too long; `check` then throws. */
function watchBody(reader: Reader, turn: Turn, secondsMax: number) {
  let since = Number.POSITIVE_INFINITY
  let stalled = false
  const timer = setInterval(() => {
    const now = performance.now()
    turn.check(now)
    if (now - since < secondsMax * 1000) return
    stalled = true
    reader.cancel().catch(() => {})
  }, WATCH_MILLISECONDS)
  return {
    waiting: () => {
      since = performance.now()
    },
    came: () => {
      since = Number.POSITIVE_INFINITY
    },
    check: () => {
      if (!stalled) return
      throw registryError(
        'BLOB_UPLOAD_INVALID',
        `the body stalled for ${secondsMax} seconds; the received bytes are kept: get the upload's status, and continue`,
        { status: 408 },
      )
    },
    stop: () => clearInterval(timer),
  }
}

/** Collects chunks into slots. Sends a slot when it is full, or when others wait for one. */
class SlotSender {
  private readonly options: AppendOptions
  private readonly isEager: boolean
  private readonly inFlight = new Set<Promise<void>>()
  /** Filled slots that are not sent yet. */
  private unsent: FilledSlot[] = []
  /** Slots that found the disk full. While there are some, no others are sent. */
  private refused: FilledSlot[] = []
  /** How many filled slots are not written yet, sent or not. */
  private unwritten = 0
  private slot: number | undefined
  private filled = 0
  private failure: unknown
  private fullError: unknown
  private fileSize: number
  private readonly onDiskFull: AppendOptions['onDiskFull']
  private readonly send = () => this.sendSlot()

  constructor(options: AppendOptions, { isEager = false, handlesDiskFull }: UploadBody) {
    this.options = options
    this.isEager = isEager
    this.onDiskFull = handlesDiskFull ? undefined : options.onDiskFull
    this.fileSize = options.fileSize
  }

  async add(chunk: Uint8Array): Promise<void> {
    const { pool } = this.options
    for (let at = 0; at < chunk.length; ) {
      if (this.slot === undefined) await this.takeSlot()
      if (this.failure) throw this.failure
      if (this.slot === undefined) continue
      const length = Math.min(chunk.length - at, pool.slotBytes - this.filled)
      pool.fill(this.slot, this.filled, chunk.subarray(at, at + length))
      this.filled += length
      at += length
      if (this.filled === pool.slotBytes || pool.scarce) this.sendSlot()
    }
    this.sendEarly()
  }

  /** Returns the slot that is being filled, and removes it. */
  detach(): FilledSlot | undefined {
    const { slot, filled } = this
    if (slot === undefined) return undefined
    this.options.pool.release(this.send)
    this.slot = undefined
    return { slot, length: filled }
  }

  /** Sends what is left and waits until everything is written. Throws the first error. */
  async finish(): Promise<void> {
    this.sendSlot()
    while (this.inFlight.size > 0) await Promise.all(this.inFlight)
    if (this.failure) throw this.failure
  }

  private async takeSlot(): Promise<void> {
    while (this.unwritten >= SLOTS_UNWRITTEN_MAX) await Promise.race(this.inFlight)
    this.slot = await this.options.pool.take()
    this.filled = 0
    this.options.pool.hold(this.send)
  }

  /** Sends a partly filled slot if the digester is idle. A fast body fills whole slots while it works. */
  private sendEarly(): void {
    if (this.isEager && this.inFlight.size === 0) this.sendSlot()
  }

  private sendSlot(): void {
    const tail = this.detach()
    if (tail === undefined) return
    this.unsent.push(tail)
    this.unwritten++
    this.sendUnsent()
  }

  private sendUnsent(): void {
    const { unsent } = this
    if (unsent.length === 0 || this.refused.length > 0 || this.inFlight.size >= MESSAGES_IN_FLIGHT_MAX) return
    this.unsent = []
    const { digester, upload } = this.options
    this.track(
      digester
        .ask({ do: 'write', upload, parts: unsent })
        .then(() => this.noteWritten(unsent))
        .catch((error) => this.noteFailure(error, unsent)),
    )
  }

  /** Goes on when the work, which never rejects, is done. */
  private track(work: Promise<void>): void {
    const tracked = work.finally(() => {
      this.inFlight.delete(tracked)
      if (this.refused.length > 0 && this.inFlight.size === 0) this.track(this.recover())
      this.sendUnsent()
      this.sendEarly()
    })
    this.inFlight.add(tracked)
  }

  private noteWritten(parts: readonly FilledSlot[]): void {
    const { pool, onWritten } = this.options
    for (const part of parts) {
      this.fileSize += part.length
      onWritten(pool.view(part))
    }
    this.release(parts)
  }

  /** After the first part that finds the disk full, the digester refuses the others, which must stay in order. */
  private noteFailure(error: unknown, parts: readonly FilledSlot[]): void {
    const isFull = this.refused.length > 0 || (this.onDiskFull !== undefined && isDiskFull(error))
    if (isFull && this.failure === undefined) {
      if (this.refused.length === 0) this.fullError = error
      this.refused.push(...parts)
    } else {
      this.failure ??= error
      this.release(parts)
    }
  }

  /** Sends what found the disk full again if space can be freed. */
  private async recover(): Promise<void> {
    const { digester, upload } = this.options
    try {
      if (!(await this.onDiskFull?.())) throw this.fullError
      // The digester wrote some parts before it found the disk full.
      let written = (await digester.ask<number>({ do: 'open', upload })) - this.fileSize
      let count = 0
      for (const { length } of this.refused) {
        written -= length
        if (written < 0) break
        count++
      }
      const done = this.refused.splice(0, count)
      this.unsent.unshift(...this.refused)
      this.refused = []
      this.noteWritten(done)
    } catch (error) {
      this.failure ??= error
      this.release(this.refused)
      this.refused = []
    }
  }

  private release(parts: readonly FilledSlot[]): void {
    for (const { slot } of parts) this.options.pool.give(slot)
    this.unwritten -= parts.length
  }
}

/** How many bodies are read at once. The others wait, and take no memory meanwhile. */
const PLACES = 8

/** How many bytes of a body are read in one turn before it goes to the end of the queue. */
const TURN_BYTES = 128 * 1024 * 1024

/** A body slower than this rate, which is mostly waited for, gives up its place. */
const SLOW_BYTES_PER_SECOND = 10 * 1024 * 1024
/** How many bytes such a body may send before it needs a place again. */
const SLOW_BYTES = 1024 * 1024

/** A body that just got a place is checked early, so that many slow clients do not keep a fast one waiting. */
const FIRST_CHECK_MILLISECONDS = 20

/**
 * Limits how many large uploads are read at a time. A body that is read more slowly than it arrives fills some MiB of
 * buffers in the runtime and the kernel; a body whose reading has not begun does not. Waiting clients take turns, so
 * that one with many uploads does not keep the others waiting.
 */
export class Turns {
  private free = PLACES
  /** The waiting bodies, by client. The client that has waited longest since its last place comes first. */
  private readonly waiting = new Map<string, (() => void)[]>()

  /**
   * Begins a body's turn. One of at most `SLOW_BYTES` bytes needs no place.
   *
   * @param client returns the client that sends the body
   */
  begin(bytes: number | undefined, client: () => string = () => ''): Turn {
    const isSmall = bytes !== undefined && bytes <= SLOW_BYTES
    return new Turn(this, client, isSmall ? Number.POSITIVE_INFINITY : 0)
  }

  enter(client: () => string): Promise<void> | undefined {
    if (this.free > 0) {
      this.free--
      return undefined
    }
    const { promise, resolve } = Promise.withResolvers<void>()
    const name = client()
    const others = this.waiting.get(name)
    if (others) others.push(resolve)
    else this.waiting.set(name, [resolve])
    return promise
  }

  leave(): void {
    const [first] = this.waiting
    if (first === undefined) {
      this.free++
      return
    }
    const [client, bodies] = first
    this.waiting.delete(client)
    const next = bodies.shift()
    if (bodies.length > 0) this.waiting.set(client, bodies)
    next?.()
  }
}

/** One body's place among those that are being read. */
class Turn {
  private readonly turns: Turns
  private readonly client: () => string
  private hasPlace = false
  /** How many more bytes may be read with the place, or without one. */
  private left: number
  private checked = performance.now()
  /** The bytes received, and the milliseconds spent waiting for the body, since the last check. */
  private brought = 0
  private waited = 0
  private waitingSince: number | undefined

  constructor(turns: Turns, client: () => string, exempt: number) {
    this.turns = turns
    this.client = client
    this.left = exempt
  }

  /** Waits until the body may be read. From then on, the time counts as waiting for the body. */
  async take(): Promise<void> {
    if (this.left <= 0) {
      this.end()
      await this.turns.enter(this.client)
      this.hasPlace = true
      this.left = TURN_BYTES
      this.checked = performance.now()
      this.brought = 0
      this.waited = 0
      setTimeout(() => this.check(performance.now()), FIRST_CHECK_MILLISECONDS)
    }
    this.waitingSince = performance.now()
  }

  came(bytes: number): void {
    this.left -= bytes
    this.brought += bytes
    this.stopWaiting(performance.now())
    this.waitingSince = undefined
  }

  /** Gives the place to another body if this one does not need it. Call it periodically. */
  check(now: number): void {
    this.stopWaiting(now)
    const milliseconds = now - this.checked
    const isSlow =
      this.waited > milliseconds / 2 && this.brought < (SLOW_BYTES_PER_SECOND * milliseconds) / 1000
    this.checked = now
    this.brought = 0
    this.waited = 0
    if (!this.hasPlace || !isSlow) return
    this.end()
    this.left = SLOW_BYTES
  }

  end(): void {
    if (this.hasPlace) this.turns.leave()
    this.hasPlace = false
  }

  private stopWaiting(now: number): void {
    if (this.waitingSince === undefined) return
    this.waited += now - Math.max(this.waitingSince, this.checked)
    this.waitingSince = now
  }
}
