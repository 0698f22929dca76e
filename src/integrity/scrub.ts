import { resolve } from 'node:path'
import { registryError } from '../oci/error.ts'
import { ContentCheck, type ContentCheckOptions, type Scrubbed } from './content-check.ts'
import type { ScrubCursor } from './store.ts'

declare module '../http/controller.ts' {
  interface ApiServices {
    /** The verification of stored content. */
    scrub: { readonly databaseFaults: number }
  }
}

/** How many rows are read, and recorded as verified, in one batch. */
const BATCH = 50

const HOUR_MINUTES = 60
const DAY_MS = 24 * HOUR_MINUTES * 60_000

/** How often hidden blobs whose bytes are still in place are verified again. */
const RECHECK_MS = 3_600_000

export interface ScrubOptions extends Omit<ContentCheckOptions, 'bytesPerSecondMax'> {
  /** The file of the database. */
  database: string
  /** The folder of scheduled backups, if there are any. */
  backupFolder: string | undefined
  settings: ScrubSettings
}

export interface ScrubSettings {
  /** In how many days everything is verified; 0 for only on request. */
  days: number
  bytesPerSecondMax: number
  hours: ScrubHours
}

/**
 * Verifies stored content by hashing it, a little at a time. Damaged content is moved to quarantine, and never served:
 * clients are told that it does not exist, so that they push it again. Each pass begins with the file of the database.
 */
export class Scrub {
  private readonly options: ScrubOptions
  /** Counts what the turns verified. Each full pass has a check of its own. */
  private readonly check: ContentCheck
  /** The running passes and turns, and how many of them use the thread. */
  private users = 0
  private readonly running = new Set<Promise<unknown>>()
  private readonly stopping = new AbortController()
  private recheckAt = 0
  /** What the last check of the database found. */
  private damage: string[] = []

  constructor(options: ScrubOptions) {
    this.options = options
    this.check = this.newCheck()
  }

  private newCheck(): ContentCheck {
    const { settings } = this.options
    return new ContentCheck({ ...this.options, bytesPerSecondMax: settings.bytesPerSecondMax })
  }

  /** How many faults SQLite found in the database's file; 0 before the first pass. */
  get databaseFaults(): number {
    return this.damage.length
  }

  /** Cancels what is running. Resolves when it has ended. */
  async stop(): Promise<void> {
    this.stopping.abort()
    await Promise.allSettled(this.running)
  }

  /** Checks the file of the database now, as each pass does at its start. */
  async afterCrash(): Promise<void> {
    const { signal } = this.stopping
    await this.withThread(() => this.checkDatabase(signal)).catch((error) => {
      if (!signal.aborted) throw error
    })
  }

  /** Verifies one minute's share, so that everything is verified within the configured days and hours. */
  async turn(): Promise<void> {
    const { metadata, now, settings } = this.options
    if (settings.days === 0 || !settings.hours.include(now())) return
    const { signal } = this.stopping
    const work = async () => {
      await this.recheck(signal)
      const cursor = await metadata.damage.cursor()
      const isNew = cursor.blob === 0 && cursor.manifest === 0
      if (isNew && now() - cursor.startedAt < settings.days * DAY_MS) return
      if (isNew) await this.checkDatabase(signal)
      const { blobs, bytes } = await metadata.storage.totals()
      const minutes = settings.days * settings.hours.count * HOUR_MINUTES
      const due = { items: Math.ceil((blobs * 2) / minutes), bytes: Math.ceil(bytes / minutes) }
      await this.verifySome(this.check, isNew ? { ...cursor, startedAt: now() } : cursor, due, signal)
    }
    await this.withThread(work).catch((error) => {
      if (!signal.aborted) throw error
    })
  }

  /**
   * Verifies everything now. Reports the blobs that are done. Rejects when cancelled, and at the end when the database is
   * damaged, or content could not be verified or moved.
   */
  async all(cancelled: AbortSignal, progress: (done: number, total?: number) => void): Promise<Scrubbed> {
    const signal = AbortSignal.any([cancelled, this.stopping.signal])
    const check = this.newCheck()
    let done = 0
    const total = (await this.options.metadata.storage.totals()).blobs
    let cursor: ScrubCursor = { blob: 0, manifest: 0, startedAt: this.options.now() }
    await this.withThread(async () => {
      await this.checkDatabase(signal)
      do {
        cursor = await this.verifySome(check, cursor, { items: 1, bytes: 0 }, signal, () => done++)
        progress(Math.min(done, total), total)
      } while (cursor.blob !== 0 || cursor.manifest !== 0)
    })
    this.refuseFailures(check.counts)
    return check.counts
  }

  private refuseFailures({ failed, verified, damaged }: Scrubbed): void {
    const faults: string[] = []
    if (this.damage.length > 0) faults.push(`the database is damaged: ${this.wayBack()}`)
    if (failed > 0) {
      faults.push(
        `${failed} blobs or manifests could not be verified or moved to quarantine: see the server's log, and check ` +
          `the disk (${verified} are good, ${damaged} damaged; cay damage lists those)`,
      )
    }
    if (faults.length > 0) throw registryError('INTERNAL', faults.join('; '))
  }

  private async checkDatabase(signal: AbortSignal): Promise<void> {
    const { verifier, database, log } = this.options
    this.damage = await verifier.databaseDamage(database, signal)
    if (this.damage.length > 0)
      log.error({ database, faults: this.damage }, `the database is damaged: ${this.wayBack()}`)
  }

  private wayBack(): string {
    const { backupFolder } = this.options
    const backup = backupFolder === undefined ? 'BACKUP' : resolve(backupFolder)
    return `stop cay, and restore the newest backup into a new folder: cay restore ${backup} --data FOLDER`
  }

  /** Verifies blobs whose damaged bytes could not be moved, or whose disk may be able to read them again. */
  private async recheck(signal: AbortSignal): Promise<void> {
    const { damaged, metadata, now } = this.options
    if (now() < this.recheckAt) return
    this.recheckAt = now() + RECHECK_MS
    for (const digest of damaged.listUnmoved()) {
      const size = (await metadata.damage.sizeOf(digest)) ?? 0
      await this.check.blob({ digest, size, isCached: false }, signal)
    }
  }

  private async withThread<T>(work: () => Promise<T>): Promise<T> {
    const run = this.use(work)
    this.running.add(run)
    return await run.finally(() => this.running.delete(run))
  }

  /** Ends the hashing thread when it is no longer used, because an idle thread keeps its memory. */
  private async use<T>(work: () => Promise<T>): Promise<T> {
    this.users++
    try {
      return await work()
    } finally {
      if (--this.users === 0) await this.options.verifier.stop()
    }
  }

  /**
   * Verifies at least this many bytes from the cursor on, blobs first. Returns the cursor, which is 0 after the last
   * manifest.
   */
  private async verifySome(
    check: ContentCheck,
    from: ScrubCursor,
    due: { items: number; bytes: number },
    signal: AbortSignal,
    onBlob = () => {},
  ): Promise<ScrubCursor> {
    const { metadata, now } = this.options
    const cursor = { ...from }
    let [items, bytes] = [0, 0]
    while (items < due.items || bytes < due.bytes) {
      const blobs = await metadata.damage.blobs(cursor.blob, BATCH)
      const manifests = blobs.length > 0 ? [] : await metadata.damage.manifests(cursor.manifest, BATCH)
      const good: number[] = []
      for (const one of blobs) {
        if (await check.blob(one, signal)) good.push(one.id)
        onBlob()
        cursor.blob = one.id
        bytes += one.size
        if (++items >= due.items && bytes >= due.bytes && due.bytes > 0) break
      }
      for (const one of manifests) {
        await check.manifest(one, signal)
        cursor.manifest = one.id
      }
      items += manifests.length
      const isOver = blobs.length === 0 && manifests.length === 0
      if (isOver) Object.assign(cursor, { blob: 0, manifest: 0 })
      await metadata.write('noteVerified', { ids: good, at: now(), cursor })
      if (isOver) break
    }
    return cursor
  }
}

const DAY_HOURS = 24

/** The hours of each day in which stored content is verified. */
interface ScrubHours {
  /** How many there are. */
  count: number
  /** Reports whether a time, in milliseconds since 1970, is in them, in local time. */
  include(at: number): boolean
}

/** Parses `1-5`, from one o'clock until five, or `22-6`, over midnight. `0-24` and any other full circle is the whole day. */
export function parseScrubHours(text: string): ScrubHours {
  const [from = 0, to = DAY_HOURS] = text.split('-').map(Number)
  const count = (to - from + DAY_HOURS) % DAY_HOURS || DAY_HOURS
  return {
    count,
    include: (at) => (new Date(at).getHours() - from + DAY_HOURS) % DAY_HOURS < count,
  }
}
