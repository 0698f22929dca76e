import { LRUCache } from 'lru-cache'
import type { Caller } from '../../domain/access/caller.ts'
import type { RepositoryName } from '../../oci/reference.ts'

/** How many pushes are measured at once, and how long one can be idle. */
const PUSHES_MAX = 4096
const IDLE_MS = 3_600_000

/** A push, as far as the server can see it. */
export interface MeasuredPush {
  /** Bytes of the blobs that were uploaded for it. Blobs that the registry already had are not uploaded. */
  bytes: number
  /** When its first upload began, from performance.now(). */
  began: number
}

/** Measures pushes for the log: from the first upload of a client to a repository until its manifest. */
export class PushMeter {
  private readonly pushes = new LRUCache<string, MeasuredPush>({ max: PUSHES_MAX, ttl: IDLE_MS })

  /** Counts an upload that began, or the bytes of one that was completed. */
  count(caller: Caller, repository: RepositoryName, bytes = 0): void {
    const key = keyOf(caller, repository)
    const { began, bytes: before } = this.pushes.get(key) ?? { bytes: 0, began: performance.now() }
    this.pushes.set(key, { began, bytes: before + bytes })
  }

  /** Returns the push that a manifest completes. Undefined if nothing was uploaded for it. */
  take(caller: Caller, repository: RepositoryName): MeasuredPush | undefined {
    const key = keyOf(caller, repository)
    const push = this.pushes.get(key)
    this.pushes.delete(key)
    return push
  }
}

function keyOf({ account = '', address }: Caller, repository: RepositoryName): string {
  return `${account}\n${address}\n${repository}`
}
