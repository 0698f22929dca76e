import { join, resolve } from 'node:path'
import type { Logger } from 'pino'
import type { Config } from '../config/schema.ts'
import type { Metadata } from '../database/metadata.ts'
import { registryError } from '../oci/error.ts'
import { turn } from '../runtime/clock.ts'
import { Quarantine } from '../storage/filesystem.ts'
import { ContentCheck, type ContentCheckOptions, ContentVerifier, type Scrubbed } from './content-check.ts'
import type { Damage, NeededBy, ScrubCursor } from './store.ts'

/*
 * Finds content whose bytes are damaged, missing or unreadable, before somebody needs it. Everything is hashed within the
 * configured days. Damaged content is never served: clients are told that it does not exist, so that they push it again.
 * Its bytes are kept in the data folder's quarantine, and the database lists it until it has good bytes again.
 */

declare module '../http/controller.ts' {
  interface ApiServices {
    damage: ReturnType<typeof damageService>
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

export interface ScrubOptions
  extends Pick<ContentCheckOptions, 'metadata' | 'blobs' | 'locks' | 'damaged' | 'now'> {
  config: Config
  log: Logger
}

/** Verifies stored content by hashing it, a little at a time. Each pass begins with the file of the database. */
export class Scrub {
  private readonly options: ScrubOptions
  private readonly hours: ScrubHours
  private readonly verifier = new ContentVerifier()
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
    this.hours = parseScrubHours(options.config.scrub.hours)
    this.check = this.newCheck()
  }

  private newCheck(): ContentCheck {
    const { config, ...parts } = this.options
    const { data, scrub } = config
    const { bytesPerSecondMax } = scrub
    const { verifier } = this
    return new ContentCheck({ ...parts, data, bytesPerSecondMax, verifier, quarantine: new Quarantine(data) })
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
    await this.untilStopped((signal) => this.checkDatabase(signal))
  }

  /** Verifies one minute's share, so that everything is verified within the configured days and hours. */
  async turn(): Promise<void> {
    const { metadata, now, config } = this.options
    const { days } = config.scrub
    if (days === 0 || !this.hours.include(now())) return
    await this.untilStopped(async (signal) => {
      await this.recheck(signal)
      const cursor = await metadata.damage.cursor()
      const isNew = cursor.blob === 0 && cursor.manifest === 0
      if (isNew && now() - cursor.startedAt < days * DAY_MS) return
      if (isNew) await this.checkDatabase(signal)
      const { blobs, bytes } = await metadata.storage.totals()
      const minutes = days * this.hours.count * HOUR_MINUTES
      const due = { items: Math.ceil((blobs * 2) / minutes), bytes: Math.ceil(bytes / minutes) }
      await this.verifySome(this.check, isNew ? { ...cursor, startedAt: now() } : cursor, due, signal)
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
    const { failed, verified, damaged } = check.counts
    const faults: string[] = []
    if (this.damage.length > 0) faults.push(`the database is damaged: ${this.wayBack()}`)
    if (failed > 0) {
      faults.push(
        `${failed} blobs or manifests could not be verified or moved to quarantine: see the server's log, and check ` +
          `the disk (${verified} are good, ${damaged} damaged; cay damage lists those)`,
      )
    }
    if (faults.length > 0) throw registryError('INTERNAL', faults.join('; '))
    return check.counts
  }

  private async checkDatabase(signal: AbortSignal): Promise<void> {
    const { config, log } = this.options
    const database = join(config.metadata ?? config.data, 'cay.db')
    this.damage = await this.verifier.databaseDamage(database, signal)
    if (this.damage.length > 0)
      log.error({ database, faults: this.damage }, `the database is damaged: ${this.wayBack()}`)
  }

  private wayBack(): string {
    const { folder } = this.options.config.backup
    const backup = folder === undefined ? 'BACKUP' : resolve(folder)
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

  private async untilStopped(work: (signal: AbortSignal) => Promise<void>): Promise<void> {
    const { signal } = this.stopping
    await this.withThread(() => work(signal)).catch((error) => {
      if (!signal.aborted) throw error
    })
  }

  /** Ends the hashing thread when it is no longer used, because an idle thread keeps its memory. */
  private async withThread(work: () => Promise<void>): Promise<void> {
    const use = async () => {
      this.users++
      try {
        await work()
      } finally {
        if (--this.users === 0) await this.verifier.stop()
      }
    }
    const run = use()
    this.running.add(run)
    await run.finally(() => this.running.delete(run))
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

/** Lists damaged content. */
export function damageService(
  metadata: Metadata,
  damaged: { hasBytes(digest: Damage['digest'], size: number): Promise<boolean> },
) {
  const isHealed = async ({ digest, kind, size }: Damage) =>
    kind === 'blob'
      ? !metadata.blobs.isStored(digest) || (await damaged.hasBytes(digest, size))
      : metadata.manifests.findBytes(digest) !== undefined
  return {
    /** Counts damaged content, including content that was pushed again since the last list. */
    count: () => metadata.damage.count(),

    /** Lists the content that is still damaged, the newest first, and drops what was pushed again. */
    async list(): Promise<(Damage & { neededBy: NeededBy[] })[]> {
      const found: (Damage & { neededBy: NeededBy[] })[] = []
      const healed: Damage['digest'][] = []
      for (const one of await metadata.damage.list()) {
        await turn()
        if (await isHealed(one)) healed.push(one.digest)
        else found.push({ ...one, neededBy: await metadata.damage.neededBy(one) })
      }
      if (healed.length > 0) await metadata.write('noteHealed', { digests: healed })
      return found
    },
  }
}
