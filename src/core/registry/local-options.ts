import type { Access } from '../../domain/access/access.ts'
import type { PushActivity } from '../../domain/push-activity.ts'
import type { GarbageWindow } from '../../domain/retention/garbage-window.ts'
import type { Metadata } from '../../metadata/metadata.ts'
import type { BlobStore, UploadStore } from '../../storage/blob-store.ts'
import type { DigestLocks } from '../../storage/digest-locks.ts'
import type { ContentReader } from '../content-reader.ts'
import type { UploadRoom } from '../quota/upload-room.ts'
import type { CheckAllowed } from './allowed-types.ts'
import type { Damaged } from './damaged.ts'
import type { LargePushes } from './large-pushes.ts'
import type { Schema1Pushes } from './pushed-manifest.ts'

/** The dependencies and settings of a local registry. */
export interface LocalOptions {
  metadata: Metadata
  blobs: BlobStore
  damaged: Damaged
  uploads: UploadStore
  /** Serializes pushes and removals of the same bytes. */
  locks: DigestLocks
  /** How long unreferenced content is kept. */
  garbageWindow: GarbageWindow
  access: Access
  /** Records push activity, so that purges do not delete what a push needs. */
  activity: PushActivity
  /** Milliseconds since 1970. */
  now: () => number
  /** Which missing content a manifest may reference. */
  sparse: Sparse
  /** Which types of artifacts a repository accepts. */
  checkAllowed: CheckAllowed
  /** Which Docker schema 1 manifests are accepted. */
  schema1: Schema1Pushes
  reader: ContentReader
  largePushes: LargePushes
  /** Counts uploads in progress against quotas. */
  room: UploadRoom
  /** The size of the cache of manifests, in bytes. */
  cacheBytesMax: number
}

/** `none`; `index`: children of an index; `all`: layers and configs too. */
export type Sparse = 'none' | 'index' | 'all'
