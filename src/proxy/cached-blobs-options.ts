import type { Blobs } from '../domain/registry.ts'
import type { Metadata } from '../metadata/metadata.ts'
import type { Digest } from '../oci/digest.ts'
import type { DigestLocks } from '../storage/digest-locks.ts'
import type { SearchableLabels } from './cached-manifests.ts'
import type { Fills } from './fills/fills.ts'
import type { Passages } from './fills/passages.ts'
import type { LastUse } from './last-use.ts'
import type { Room } from './room.ts'
import type { UpstreamSet } from './upstream/upstream-set.ts'

/** The dependencies of the blobs of upstreams. */
export interface CachedBlobsOptions {
  local: Blobs
  labels: Pick<SearchableLabels, 'configArrived'>
  metadata: Metadata
  upstreams: UpstreamSet
  fills: Fills
  passages: Passages
  room: Room
  locks: DigestLocks
  /** Stored blobs with damaged bytes. A fill replaces them. */
  damaged: {
    isHidden(digest: Digest): boolean
    /** Hides a blob whose bytes are missing, until it has good ones. */
    hide(digest: Digest): void
    /** Throws if the disk cannot say. */
    hasBytes(digest: Digest, size: number): Promise<boolean>
  }
  lastUse: LastUse
  now: () => number
  monotonic: () => number
  /** How long the upstream may take until its first response. */
  firstByteMs: number
  onRequest(upstream: string, result: 'hit' | 'miss' | 'joined' | 'through'): void
  onHitRead(bytes: number): void
}

/** The limits of one request's fetch. */
export interface FetchLimits {
  /** The time by which the client must get a status line, in milliseconds of the monotonic clock. */
  until: number
  /** How many attempts are left. The state may change during each. */
  attempts: number
}
