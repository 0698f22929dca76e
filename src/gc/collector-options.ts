import type { Logger } from 'pino'
import type { Retention } from '../domain/retention.ts'
import type { Metadata } from '../metadata/metadata.ts'
import type { BlobStore } from '../storage/blob-store.ts'
import type { DigestLocks } from '../storage/digest-locks.ts'

/** What the collector and the walk over files work on. */
export interface CollectorOptions {
  metadata: Metadata
  blobs: BlobStore
  locks: DigestLocks
  log: Logger
  /** The time of what is recorded, in milliseconds since 1970. */
  now: () => number
  /** The time that deletions go by, in milliseconds since 1970. */
  steady: () => number
  /** Milliseconds since some moment. */
  monotonic: () => number
  retention: Retention
}
