import type { Logger } from 'pino'
import { parseSignedDocument } from '../docker/signed-document.ts'
import type { ScrubCursor, StoredManifest } from '../metadata/content/damage.ts'
import type { Metadata } from '../metadata/metadata.ts'
import { algorithmOf, type Digest, digestToBytes, hexOf } from '../oci/digest.ts'
import { blobPlace } from '../storage/blob-place.ts'
import type { BlobStore } from '../storage/blob-store.ts'
import type { DigestLocks } from '../storage/digest-locks.ts'
import type { Quarantine } from '../storage/quarantine.ts'
import type { FileHasher } from './file-hasher.ts'

/** How many rows are read, and noted as verified, together. */
const BATCH = 50

const DAY_MINUTES = 1440
const DAY_MS = DAY_MINUTES * 60_000

export interface ScrubOptions {
  metadata: Metadata
  blobs: BlobStore
  locks: DigestLocks
  quarantine: Quarantine
  hasher: FileHasher
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
  /** Passes and turns that are running. */
  private users = 0

  constructor(options: ScrubOptions) {
    this.options = options
  }

  /** Ends the thread that hashes files. */
  async stop(): Promise<void> {
    await this.options.hasher.stop()
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
    await this.withThread(() => this.verifySome(isNew ? { ...cursor, startedAt: now() } : cursor, due))
  }

  /** Verifies everything now. Rejects when cancelled. */
  async all(signal: AbortSignal, progress: (done: number, total?: number) => void): Promise<Scrubbed> {
    const before = { ...this.counts }
    const total = (await this.options.metadata.storage.totals()).blobs
    let cursor: ScrubCursor = { blob: 0, manifest: 0, startedAt: this.options.now() }
    await this.withThread(async () => {
      do {
        signal.throwIfAborted()
        cursor = await this.verifySome(cursor, { items: 1, bytes: 0 }, signal)
        progress(this.counts.verified - before.verified, total)
      } while (cursor.blob !== 0 || cursor.manifest !== 0)
    })
    const counted = Object.entries(this.counts).map(([name, count]) => [
      name,
      count - before[name as keyof Scrubbed],
    ])
    return Object.fromEntries(counted)
  }

  /** Ends the thread that hashes files when nothing uses it any more, because an idle thread keeps its memory. */
  private async withThread<T>(work: () => Promise<T>): Promise<T> {
    this.users++
    try {
      return await work()
    } finally {
      if (--this.users === 0) await this.options.hasher.stop()
    }
  }

  /** Verifies at least so much from the cursor on, blobs first. Returns the cursor, which is 0 after the last manifest. */
  private async verifySome(
    from: ScrubCursor,
    due: { items: number; bytes: number },
    signal?: AbortSignal,
  ): Promise<ScrubCursor> {
    const { metadata, now } = this.options
    const cursor = { ...from }
    let [items, bytes] = [0, 0]
    while (items < due.items || bytes < due.bytes) {
      const blobs = await metadata.damage.blobs(cursor.blob, BATCH)
      const manifests = blobs.length > 0 ? [] : await metadata.damage.manifests(cursor.manifest, BATCH)
      const good: number[] = []
      for (const one of blobs) {
        signal?.throwIfAborted()
        if (await this.verifyBlob(one)) good.push(one.id)
        cursor.blob = one.id
        bytes += one.size
        if (++items >= due.items && bytes >= due.bytes && due.bytes > 0) break
      }
      for (const one of manifests) {
        await this.verifyManifest(one)
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

  /** Verifies a blob; returns whether it is good. */
  private async verifyBlob(one: Item): Promise<boolean> {
    const { metadata, locks, log } = this.options
    const { digest, size } = one
    try {
      if (await this.isGood(one)) return this.count(size)
      // A push of the digest may have replaced the bytes: look again while none is at work.
      await locks.remove(digest, async () => {
        if (!metadata.blobs.isStored(digest) || (await this.isGood(one))) return
        await (one.isCached ? this.refetch(digest) : this.setAside(digest, size))
      })
    } catch (cause) {
      log.error({ digest, size, cause }, 'cannot read a blob to verify it')
    }
    return false
  }

  private async isGood({ digest }: Item): Promise<boolean> {
    const { metadata, hasher, data, settings } = this.options
    const algorithm = algorithmOf(digest)
    const small = metadata.blobBytes.find(digest)
    if (small !== undefined) return hashOf(small, digest) === hexOf(digest)
    const { bytesPerSecondMax } = settings
    return (
      (await hasher.hash({ file: blobPlace(data, digest).file, algorithm, bytesPerSecondMax })) ===
      hexOf(digest)
    )
  }

  private async refetch(digest: Digest): Promise<void> {
    const { metadata, blobs, log } = this.options
    this.counts.refetched++
    log.warn({ digest }, 'a cached blob is damaged: removed it, and the next pull fetches it again')
    const { isGone } = await metadata.write('dropDamagedBlob', { digest })
    if (isGone) await blobs.delete(digest)
  }

  private async setAside(digest: Digest, size: number): Promise<void> {
    const { metadata, now, quarantine, log } = this.options
    this.counts.damaged++
    log.error(
      { digest, size },
      'a blob is damaged: moved it to quarantine; push it again, or restore a backup',
    )
    const small = metadata.blobBytes.find(digest)
    if (small !== undefined) await quarantine.put(digest, small)
    await metadata.write('quarantine', { digest, kind: 'blob', size, at: now() })
    this.options.onDamaged(digest)
    await quarantine.move(digest)
  }

  private async verifyManifest(one: StoredManifest): Promise<void> {
    const { metadata, now, quarantine, log } = this.options
    const { digest, size, repository, isCached } = one
    const bytes = metadata.manifests.findBytes({ storedAs: digestToBytes(digest) })
    if (bytes !== undefined && isManifestGood(bytes, digest)) return void this.count(size)
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
    if (bytes !== undefined) await quarantine.put(digest, bytes)
    await metadata.write('quarantine', { digest, kind: 'manifest', size, at: now() })
  }

  private count(size: number): true {
    this.counts.verified++
    this.counts.bytes += size
    return true
  }
}

function hashOf(bytes: Uint8Array, digest: Digest): string {
  return new Bun.CryptoHasher(algorithmOf(digest)).update(bytes).digest('hex')
}

/** The digest of a signed manifest of Docker schema 1 is that of its content without the signatures. */
function isManifestGood(bytes: Uint8Array, digest: Digest): boolean {
  if (hashOf(bytes, digest) === hexOf(digest)) return true
  try {
    return hashOf(parseSignedDocument(bytes).payload, digest) === hexOf(digest)
  } catch {
    return false
  }
}
