import type { UploadBody } from '../domain/blob-body.ts'
import { freeChunk } from '../domain/chunk.ts'
import { isDiskFull, registryError } from '../oci/error.ts'
import type { DigesterClient, UploadFile } from './digester-client.ts'
import type { FilledSlot, SlotPool } from './slot-pool.ts'
import type { Turn, Turns } from './turns.ts'

/** How many filled slots of one upload may be unwritten at once. */
const SLOTS_UNWRITTEN_MAX = 8

/**
 * How many messages of one upload may be with its digester at once. Slots that are filled meanwhile are sent together in
 * the next one, because each message wakes two threads.
 */
const MESSAGES_IN_FLIGHT_MAX = 2

/** How often a body is checked for a stall. */
const WATCH_MILLISECONDS = 100

export interface AppendOptions {
  turns: Turns
  pool: SlotPool
  digester: DigesterClient
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
  try {
    await readBody(body, sender, options)
  } catch (error) {
    await sender.finish()
    throw error
  }
  const tail = keepFilledSlot ? sender.detach() : undefined
  try {
    await sender.finish()
  } catch (error) {
    if (tail) options.pool.give(tail.slot)
    throw error
  }
  return tail
}

async function readBody(body: UploadBody, sender: SlotSender, options: AppendOptions): Promise<void> {
  const turn = options.turns.begin(body.length, body.client)
  try {
    await turn.take()
    if (body.stream !== null) await readStream(body.stream, body, turn, sender, options)
  } finally {
    turn.end()
  }
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
      if (left < 0) throw tooLarge()
      if (rest.length > 0) await sender.add(rest)
      if (ownsChunks) freeChunk(value)
    }
    watch.check()
  } finally {
    watch.stop()
    reader.releaseLock()
  }
}

function tooLarge() {
  return registryError('SIZE_INVALID', 'the blob is larger than this registry accepts', { status: 413 })
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
        .write(upload, unsent)
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
      let written = (await digester.open(upload)) - this.fileSize
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
