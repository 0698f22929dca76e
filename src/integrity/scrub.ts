import type { Logger } from 'pino'
import type { ScrubCursor, StoredManifest } from '../metadata/content/damage.ts'
import type { Metadata } from '../metadata/metadata.ts'
import { type Digest, digestToBytes } from '../oci/digest.ts'
import { blobPlace } from '../storage/blob-place.ts'
import type { BlobStore } from '../storage/blob-store.ts'
import type { DigestLocks } from '../storage/digest-locks.ts'
import type { Quarantine } from '../storage/quarantine.ts'
import type { ContentVerifier } from './content-verifier.ts'

/** How many rows are read, and noted as verified, together. */
const BATCH = 50

const DAY_MINUTES = 1440
const DAY_MS = DAY_MINUTES * 60_000

export interface ScrubOptions {
  metadata: Metadata
  blobs: BlobStore
  locks: DigestLocks
  quarantine: Quarantine
  verifier: ContentVerifier
  log: Logger
  /** Called with each blob that is moved to quarantine. */
  onDamaged: (digest: Digest) => void
  /** The data folder. */
  data: string
  /** Milliseconds since 1970. */
  now: () => number
  settings: ScrubSettings
}

export interface ScrubSettings {
  /** In how many days everything is verified; 0: never by itself. */
  days: number
  bytesPerSecondMax: number
}

/** What a pass has found so far. */
export interface Scrubbed {
  verified: number
  bytes: number
  /** Damaged or missing content that was pushed, and that clients have to push again. */
  damaged: number
  /** Damaged or missing cached content, which the next pull fetches again. */
  refetched: number
}

interface Item {
  id: number
  digest: Digest
  size: number
  isCached: boolean
}

/**
 * Verifies stored content by hashing it, a little at a time. Damaged content is moved to quarantine, and never served:
 * clients are told that it does not exist, so that they push it again.
 */
export class Scrub {
  readonly counts: Scrubbed = { verified: 0, bytes: 0, damaged: 0, refetched: 0 }
  private readonly options: ScrubOptions
  /** Passes and turns that are running, and how many of them use the thread. */
  private users = 0
  private readonly running = new Set<Promise<unknown>>()
  private readonly stopping = new AbortController()

  constructor(options: ScrubOptions) {
    this.options = options
  }

  /** Cancels what is running. Resolves when it has ended. */
  async stop(): Promise<void> {
    this.stopping.abort()
    await Promise.allSettled(this.running)
  }

  /** Verifies one minute's share, so that everything is verified within the configured days. */
  async turn(): Promise<void> {
    const { metadata, now, settings } = this.options
    if (settings.days === 0) return
    const cursor = await metadata.damage.cursor()
    const isNew = cursor.blob === 0 && cursor.manifest === 0
    if (isNew && now() - cursor.startedAt < settings.days * DAY_MS) return
    const { blobs, bytes } = await metadata.storage.totals()
    const minutes = settings.days * DAY_MINUTES
    const due = { items: Math.ceil((blobs * 2) / minutes), bytes: Math.ceil(bytes / minutes) }
    const from = isNew ? { ...cursor, startedAt: now() } : cursor
    const { signal } = this.stopping
    await this.withThread(() => this.verifySome(from, due, signal)).catch((error) => {
      if (!signal.aborted) throw error
    })
  }

  /** Verifies everything now. Reports the blobs that are done. Rejects when cancelled. */
  async all(cancelled: AbortSignal, progress: (done: number, total?: number) => void): Promise<Scrubbed> {
    const signal = AbortSignal.any([cancelled, this.stopping.signal])
    const before = { ...this.counts }
    let done = 0
    const total = (await this.options.metadata.storage.totals()).blobs
    let cursor: ScrubCursor = { blob: 0, manifest: 0, startedAt: this.options.now() }
    await this.withThread(async () => {
      do {
        cursor = await this.verifySome(cursor, { items: 1, bytes: 0 }, signal, () => done++)
        progress(Math.min(done, total), total)
      } while (cursor.blob !== 0 || cursor.manifest !== 0)
    })
    const counted = Object.entries(this.counts).map(([name, count]) => [
      name,
      count - before[name as keyof Scrubbed],
    ])
    return Object.fromEntries(counted)
  }

  private async withThread<T>(work: () => Promise<T>): Promise<T> {
    const run = this.use(work)
    this.running.add(run)
    return await run.finally(() => this.running.delete(run))
  }

  /** Ends the thread that hashes when nothing uses it any more, because an idle thread keeps its memory. */
  private async use<T>(work: () => Promise<T>): Promise<T> {
    this.users++
    try {
      return await work()
    } finally {
      if (--this.users === 0) await this.options.verifier.stop()
    }
  }

  /** Verifies at least so much from the cursor on, blobs first. Returns the cursor, which is 0 after the last manifest. */
  private async verifySome(
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
        if (await this.verifyBlob(one, signal)) good.push(one.id)
        onBlob()
        cursor.blob = one.id
        bytes += one.size
        if (++items >= due.items && bytes >= due.bytes && due.bytes > 0) break
      }
      for (const one of manifests) {
        await this.verifyManifest(one, signal)
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

  /** Verifies a blob; returns whether it is good. Rejects when cancelled. */
  private async verifyBlob(one: Item, signal: AbortSignal): Promise<boolean> {
    const { metadata, locks, log } = this.options
    const { digest, size } = one
    try {
      if (await this.isGood(digest, signal)) return this.count(size)
      // A push of the digest may have replaced the bytes: look again while none is at work.
      await locks.remove(digest, async () => {
        if (!metadata.blobs.isStored(digest) || (await this.isGood(digest, signal))) return
        if (!(one.isCached && (await this.refetch(digest)))) await this.setAside(digest, size)
      })
    } catch (cause) {
      signal.throwIfAborted()
      log.error({ digest, size, cause }, 'cannot read a blob to verify it')
    }
    return false
  }

  private async isGood(digest: Digest, signal: AbortSignal): Promise<boolean> {
    const { metadata, verifier, data, settings } = this.options
    const content = metadata.blobBytes.find(digest) ?? blobPlace(data, digest).file
    const { bytesPerSecondMax } = settings
    return await verifier.isGood({ digest, content, bytesPerSecondMax }, signal)
  }

  /** Removes a cached blob. Returns false if a repository needs it that is not cached: its bytes are still here. */
  private async refetch(digest: Digest): Promise<boolean> {
    const { metadata, blobs, log } = this.options
    const { isGone } = await metadata.write('dropDamagedBlob', { digest })
    if (!isGone) return false
    await blobs.delete(digest)
    this.counts.refetched++
    log.warn({ digest }, 'a cached blob is damaged: removed it, and the next pull fetches it again')
    return true
  }

  private async setAside(digest: Digest, size: number): Promise<void> {
    const { metadata, now, quarantine, log } = this.options
    const small = metadata.blobBytes.find(digest)
    if (small !== undefined) await quarantine.put(digest, small)
    // It counts as damaged only when its bytes are gone: until then it would count as pushed again.
    await quarantine.move(digest)
    await metadata.write('quarantineBlob', { digest, size, at: now() })
    this.options.onDamaged(digest)
    this.counts.damaged++
    log.error(
      { digest, size },
      'a blob is damaged: moved it to quarantine; push it again, or restore a backup',
    )
  }

  /** Verifies a manifest. Rejects when cancelled. */
  private async verifyManifest(one: StoredManifest, signal: AbortSignal): Promise<void> {
    const { metadata, verifier, now, quarantine, log, settings } = this.options
    const { digest, size, repository, isCached } = one
    const { bytesPerSecondMax } = settings
    const bytes = metadata.manifests.findBytes({ storedAs: digestToBytes(digest) })
    if (bytes !== undefined) {
      if (await verifier.isGood({ digest, content: bytes, bytesPerSecondMax }, signal))
        return void this.count(size)
      await quarantine.put(digest, bytes)
    }
    const { isDamaged } = await metadata.write('quarantineManifest', { digest, size, bytes, at: now() })
    if (!isDamaged) return
    if (isCached) {
      this.counts.refetched++
      log.warn(
        { repository, digest },
        'a cached manifest is damaged: removed it, and the next pull fetches it again',
      )
    } else {
      this.counts.damaged++
      log.error(
        { repository, digest },
        'a manifest is damaged: moved it to quarantine; push it again, or restore a backup',
      )
    }
  }

  private count(size: number): true {
    this.counts.verified++
    this.counts.bytes += size
    return true
  }
}
