import type { Logger } from 'pino'
import type { Metadata } from '../database/metadata.ts'
import type { Digest } from '../oci/reference.ts'
import { WorkerClient } from '../runtime/threads.ts'
import { type BlobStore, blobPlace } from '../storage/blob-store.ts'
import type { DigestLocks } from '../storage/digest-locks.ts'
import type { FileFailure } from '../storage/durable-file.ts'
import type { Quarantine } from '../storage/filesystem.ts'
import type { StoredManifest } from './store.ts'

export interface ContentCheckOptions {
  metadata: Metadata
  blobs: BlobStore
  locks: DigestLocks
  quarantine: Quarantine
  verifier: ContentVerifier
  damaged: HiddenBlobs
  log: Logger
  /** The data folder. */
  data: string
  /** Milliseconds since 1970. */
  now: () => number
  bytesPerSecondMax: number
}

/** The blobs that are hidden from pulls. */
export interface HiddenBlobs {
  /** Hides a blob whose damaged file is still in place. */
  addUnmoved(digest: Digest): void
  /** Records that the file was moved, so that new bytes are known to come from a push. */
  noteMoved(digest: Digest): void
  listUnmoved(): Digest[]
  /** Stops hiding a blob, because its bytes are good. */
  heal(digest: Digest): Promise<void>
}

/** What was verified. */
export interface Scrubbed {
  verified: number
  bytes: number
  /** Damaged, missing or unreadable content that was pushed, and that clients have to push again. */
  damaged: number
  /** Damaged or missing cached content, which the next pull fetches again. */
  refetched: number
  /** Damaged blobs that could not be moved to quarantine, and content that could not be verified. */
  failed: number
}

type State = 'good' | 'damaged' | 'unreadable'

/** Verifies single blobs and manifests, and keeps damaged ones from being served. */
export class ContentCheck {
  readonly counts: Scrubbed = { verified: 0, bytes: 0, damaged: 0, refetched: 0, failed: 0 }
  private readonly options: ContentCheckOptions

  constructor(options: ContentCheckOptions) {
    this.options = options
  }

  /** Verifies a blob; returns whether it is good. Rejects when cancelled. */
  async blob(
    { digest, size, isCached }: { digest: Digest; size: number; isCached: boolean },
    signal: AbortSignal,
  ): Promise<boolean> {
    const { metadata, locks, log, damaged } = this.options
    try {
      if ((await this.stateOf(digest, signal)) === 'good') {
        await damaged.heal(digest)
        return this.count(size)
      }
      // A push may have replaced the bytes, so check again while no push of the digest is in progress.
      await locks.remove(digest, async () => {
        if (!metadata.blobs.isStored(digest)) return
        const state = await this.stateOf(digest, signal)
        if (state === 'good') return
        if (!(isCached && (await this.refetch(digest)))) await this.setAside(digest, size, state)
      })
    } catch (cause) {
      signal.throwIfAborted()
      this.counts.failed++
      log.error({ digest, size, cause }, 'cannot verify a blob')
    }
    return false
  }

  /** Verifies a manifest. Rejects when cancelled. */
  async manifest(one: StoredManifest, signal: AbortSignal): Promise<void> {
    const { metadata, verifier, now, quarantine, bytesPerSecondMax, log } = this.options
    const { digest, size, repository, isCached } = one
    const bytes = metadata.manifests.findBytes(digest)
    if (bytes !== undefined) {
      if (await verifier.isGood({ digest, content: bytes, bytesPerSecondMax }, signal))
        return void this.count(size)
      await this.keep(digest, () => quarantine.put(digest, bytes))
    }
    const { isDamaged } = await metadata.write('quarantineManifest', { digest, size, bytes, at: now() })
    if (!isDamaged) return
    this.counts[isCached ? 'refetched' : 'damaged']++
    if (isCached)
      log.warn(
        { repository, digest },
        'a cached manifest is damaged: removed it, and the next pull fetches it again',
      )
    else
      log.error(
        { repository, digest },
        'a manifest is damaged: moved it to quarantine; push it again, or restore a backup',
      )
  }

  private async stateOf(digest: Digest, signal: AbortSignal): Promise<State> {
    const { metadata, verifier, data, bytesPerSecondMax } = this.options
    const content = metadata.blobBytes.find(digest) ?? blobPlace(data, digest).file
    try {
      return (await verifier.isGood({ digest, content, bytesPerSecondMax }, signal)) ? 'good' : 'damaged'
    } catch (error) {
      if (error instanceof UnreadableError) return 'unreadable'
      throw error
    }
  }

  /** Removes a cached blob. Returns false, and keeps its bytes, if a repository that is not cached needs it. */
  private async refetch(digest: Digest): Promise<boolean> {
    const { metadata, blobs, log } = this.options
    const { isGone } = await metadata.write('dropDamagedBlob', { digest })
    if (!isGone) return false
    this.counts.refetched++
    log.warn({ digest }, 'a cached blob is damaged: removed it, and the next pull fetches it again')
    await blobs.delete(digest)
    return true
  }

  /**
   * Records the damage and hides the blob before its bytes are moved, so that they are not served even if the move
   * fails.
   */
  private async setAside(digest: Digest, size: number, state: State): Promise<void> {
    const { metadata, now, quarantine, damaged, log } = this.options
    const small = metadata.blobBytes.find(digest)
    if (small !== undefined) await this.keep(digest, () => quarantine.put(digest, small))
    damaged.addUnmoved(digest)
    await metadata.write('quarantineBlob', { digest, size, at: now() })
    this.counts.damaged++
    const isMoved = await this.keep(digest, () => quarantine.move(digest))
    if (isMoved) damaged.noteMoved(digest)
    const what = state === 'unreadable' ? 'cannot be read from the disk' : 'is damaged'
    const where = isMoved ? 'moved it to quarantine' : 'it is no longer served'
    log.error({ digest, size }, `a blob ${what}: ${where}; push it again, or restore a backup`)
  }

  /**
   * Moves damaged bytes to quarantine, so that an administrator can examine them. Returns whether that succeeded;
   * damage is reported in any case.
   */
  private async keep(digest: Digest, work: () => Promise<void>): Promise<boolean> {
    try {
      await work()
      return true
    } catch (cause) {
      this.counts.failed++
      this.options.log.error({ digest, cause }, 'cannot move damaged bytes to quarantine')
      return false
    }
  }

  private count(size: number): true {
    this.counts.verified++
    this.counts.bytes += size
    return true
  }
}

/** A request to verify that content has this digest. */
export interface HashQuestion {
  digest: Digest
  /** The path of a file, or bytes of the database. */
  content: string | Uint8Array
  /** The rate for all content that the thread reads, in bytes per second. */
  bytesPerSecondMax: number
}

/** Asks the thread to verify content, or to check a database's file with SQLite. */
export type ThreadQuestion = HashQuestion | { database: string }

/** The error codes of a disk that cannot read its data. */
const UNREADABLE = new Set(['EIO', 'EBADMSG', 'EUCLEAN', 'ENODATA', 'EISDIR'])

/** The disk cannot read the content. */
class UnreadableError extends Error {
  override name = 'UnreadableError'
}

/** Verifies content in a thread of low priority, which starts when it is first needed. */
export class ContentVerifier {
  private thread: WorkerClient<ThreadQuestion, FileFailure> | undefined

  /** Returns whether the content has the digest. Throws UnreadableError. Rejects once the signal is aborted. */
  isGood(question: HashQuestion, signal: AbortSignal): Promise<boolean> {
    return this.ask(question, signal)
  }

  /** Returns what SQLite finds wrong with a database's file; nothing if it is intact. */
  databaseDamage(path: string, signal: AbortSignal): Promise<string[]> {
    return this.ask({ database: path }, signal)
  }

  async stop(): Promise<void> {
    const { thread } = this
    this.thread = undefined
    await thread?.stop()
  }

  private async ask<T>(question: ThreadQuestion, signal: AbortSignal): Promise<T> {
    signal.throwIfAborted()
    this.thread ??= new WorkerClient<ThreadQuestion, FileFailure>(
      new Worker(new URL('./hash-thread.ts', import.meta.url)),
      {
        name: 'the thread that verifies content',
        toError,
        onFailure: () => {
          this.thread = undefined
        },
      },
    )
    const { promise: aborted, reject } = Promise.withResolvers<never>()
    const abort = () => reject(signal.reason)
    signal.addEventListener('abort', abort)
    try {
      return await Promise.race([this.thread.ask<T>(question), aborted])
    } finally {
      signal.removeEventListener('abort', abort)
    }
  }
}

function toError({ message, code }: FileFailure): Error {
  return UNREADABLE.has(code ?? '') ? new UnreadableError(message) : new Error(message)
}
