import type { Access } from '../../domain/access.ts'
import type { GarbageWindow } from '../../domain/garbage-window.ts'
import type { PushActivity } from '../../domain/push-activity.ts'
import type { Metadata } from '../../metadata/metadata.ts'
import type { BlobStore, UploadStore } from '../../storage/blob-store.ts'
import type { DigestLocks } from '../../storage/digest-locks.ts'
import type { ContentReader } from '../content-reader.ts'
import type { UploadRoom } from '../quota/upload-room.ts'
import type { CheckAllowed } from './allowed-types.ts'
import type { Damaged } from './damaged.ts'
import type { LargePushes } from './large-pushes.ts'
import type { Schema1Pushes } from './pushed-manifest.ts'

/** What a local registry is made of. */
export interface LocalOptions {
  metadata: Metadata
  blobs: BlobStore
  damaged: Damaged
  uploads: UploadStore
  /** Decides between a push and the removal of the same bytes. */
  locks: DigestLocks
  /** How long the collector keeps what nothing reaches. */
  garbageWindow: GarbageWindow
  access: Access
  /** Remembers pushes for purges, which must not break them. */
  activity: PushActivity
  /** Milliseconds since 1970. */
  now: () => number
  /** Which absent content a manifest may name. */
  sparse: Sparse
  /** Which artifacts a repository takes. */
  checkAllowed: CheckAllowed
  /** Which manifests of Docker schema 1 are taken. */
  schema1: Schema1Pushes
  reader: ContentReader
  largePushes: LargePushes
  /** Counts uploads in progress against quotas. */
  room: UploadRoom
  /** Memory for manifests that are pulled again. */
  cacheBytesMax: number
}

/** `none`; `index`: children of an index; `all`: layers and configs too. */
export type Sparse = 'none' | 'index' | 'all'
