import type { Digest } from '../oci/digest.ts'

interface Held {
  pushes: number
  /** Settled when the removal is over. */
  removal: Promise<void> | undefined
}

/**
 * Decides, digest by digest, between a push and the removal of bytes that no row names. A push holds its digest from
 * before its bytes are published until its row is committed; what it finds removed it publishes again.
 *
 * async-mutex has no lock that many share. A weighted semaphore of its would do, but at each release it counts from its
 * free weight down to one, so the weight would have to be small, and would bound the pushes of one digest.
 */
export class DigestLocks {
  private readonly held = new Map<Digest, Held>()

  /** Runs a push, together with other pushes of the digest; waits for a removal that is at work. */
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

  /** Runs a removal alone. Answers false without running it while a push, or another removal, holds the digest. */
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
