import type { Logger } from 'pino'
import type { PushActivity } from '../domain/push-activity.ts'
import type { GarbageWindow } from '../domain/retention/garbage-window.ts'
import type { Metadata } from '../metadata/metadata.ts'
import type { BlobStore } from '../storage/blob-store.ts'
import type { DigestLocks } from '../storage/digest-locks.ts'

/** What the collector and the scan of files need. */
export interface CollectorOptions {
  metadata: Metadata
  blobs: BlobStore
  locks: DigestLocks
  log: Logger
  /** The clock for recorded times, in milliseconds since 1970. */
  now: () => number
  /** The clock for deletions, in milliseconds since 1970. */
  steady: () => number
  /** Milliseconds since an arbitrary time. */
  monotonic: () => number
  garbageWindow: GarbageWindow
  /** When pushes last touched each repository. */
  activity: PushActivity
  /** What an earlier process had left of the startup grace, in milliseconds; undefined if that is not known. */
  startupWaitMs?: number | undefined
  /** Locks out backups for one batch of removals. Returns how to unlock, or undefined while a backup is running. */
  lockForRemoval: () => (() => void) | undefined
}
