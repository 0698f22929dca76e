import type { Digest } from '../oci/reference.ts'

interface Held {
  pushes: number
  /** Settles when the removal has ended. */
  removal: Promise<void> | undefined
}

/**
 * Locks each digest between pushes and the removal of bytes that no row names. A push holds the lock from before its
 * bytes are published until its row is committed, and publishes bytes again that it finds removed.
 *
 * async-mutex has no shared lock. Its weighted semaphore would do, but each release loops over the free weight, so the
 * weight would have to be small, which would limit the concurrent pushes of one digest.
 */
export class DigestLocks {
  private readonly held = new Map<Digest, Held>()

  /** Runs a push, concurrently with other pushes of the digest. Waits for a removal in progress. */
  async push<T>(digest: Digest, work: () => Promise<T>): Promise<T> {
    const held = this.take(digest)
    held.pushes++
    try {
      if (held.removal) await held.removal
      return await work()
    } finally {
      held.pushes--
      this.letGo(digest, held)
    }
  }

  /** Runs a removal exclusively. Returns false without running it while a push or another removal holds the lock. */
  async remove(digest: Digest, work: () => Promise<void>): Promise<boolean> {
    const held = this.take(digest)
    if (held.pushes > 0 || held.removal) return false
    const { promise, resolve } = Promise.withResolvers<void>()
    held.removal = promise
    try {
      await work()
    } finally {
      held.removal = undefined
      resolve()
      this.letGo(digest, held)
    }
    return true
  }

  private take(digest: Digest): Held {
    let held = this.held.get(digest)
    if (held === undefined) {
      held = { pushes: 0, removal: undefined }
      this.held.set(digest, held)
    }
    return held
  }

  private letGo(digest: Digest, held: Held): void {
    if (held.pushes === 0 && held.removal === undefined) this.held.delete(digest)
  }
}
