import type { Identity } from '../../domain/access.ts'
import { untaggedMs } from '../../domain/garbage-window.ts'
import type { ManifestRow } from '../../metadata/content/manifests.ts'
import type { Digest } from '../../oci/digest.ts'
import type { RepositoryName } from '../../oci/reference.ts'
import type { LocalOptions } from './local-options.ts'

/** A manifest that goes when nothing happens. */
export interface ExpiringManifest {
  id: number
  /** Since when nothing reaches it, in milliseconds since 1970, */
  since: number
  /** and how long it is kept after that. */
  keptMs: number
}

/**
 * Keeps from the collector what a push in progress may name: what somebody who may push has found here stays for a grace
 * at least. It writes only where something would go before.
 */
export function freshPushes({ metadata, access, now, garbageWindow }: LocalOptions) {
  const { graceMs } = garbageWindow
  return {
    /** Keeps a blob for somebody who may push. Answers whether it is still there. */
    async keepBlob(repository: RepositoryName, digest: Digest, unreferencedAt: number): Promise<boolean> {
      const at = now()
      if (at - unreferencedAt <= graceMs / 2) return true
      return await metadata.write('renewBlob', { at, repository, digest })
    },

    /** Answers whether the manifest is still there. */
    async keepManifest(
      identity: Identity,
      repository: RepositoryName,
      { id, since, keptMs }: ExpiringManifest,
    ): Promise<boolean> {
      const at = now()
      if (since + keptMs - at >= graceMs || !access.may(identity, 'push', repository)) return true
      // Half a grace more than is promised, so that it is not written anew at once.
      return await metadata.write('renewManifest', { id, since: at - keptMs + 1.5 * graceMs })
    },

    /** When the manifest goes; undefined when it stays. */
    expiryOf({ id, unreferencedAt, untaggedAt, untaggedDays }: ManifestRow): ExpiringManifest | undefined {
      if (unreferencedAt !== null) return { id, since: unreferencedAt, keptMs: garbageWindow.windowMs }
      const keptMs = untaggedAt === null ? undefined : untaggedMs(garbageWindow, untaggedDays)
      return untaggedAt === null || keptMs === undefined ? undefined : { id, since: untaggedAt, keptMs }
    },
  }
}
