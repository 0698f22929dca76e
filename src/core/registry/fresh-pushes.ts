import type { Identity } from '../../domain/access/access.ts'
import { untaggedMs } from '../../domain/retention/garbage-window.ts'
import type { ManifestRow } from '../../metadata/content/manifests/manifests.ts'
import type { Digest } from '../../oci/digest.ts'
import type { RepositoryName } from '../../oci/reference.ts'
import type { LocalOptions } from './local-options.ts'

/** A manifest that will be deleted unless something references it. */
export interface ExpiringManifest {
  id: number
  /** Since when it has been unreferenced or untagged, in milliseconds since 1970. */
  since: number
  /** How long it is kept after that. */
  keptMs: number
}

/**
 * Protects content that a push in progress may reference from garbage collection: whatever a caller with push
 * permission finds here stays for at least the grace period. Writes only if it would be deleted earlier.
 */
export function freshPushes({ metadata, access, now, garbageWindow }: LocalOptions) {
  const { graceMs } = garbageWindow
  return {
    /** Keeps a blob for the grace period. Returns whether it still exists. */
    async keepBlob(repository: RepositoryName, digest: Digest, unreferencedAt: number): Promise<boolean> {
      const at = now()
      if (at - unreferencedAt <= graceMs / 2) return true
      return await metadata.write('renewBlob', { at, repository, digest })
    },

    /** Keeps a manifest for the grace period if the caller may push. Returns whether it still exists. */
    async keepManifest(
      identity: Identity,
      repository: RepositoryName,
      { id, since, keptMs }: ExpiringManifest,
    ): Promise<boolean> {
      const at = now()
      if (since + keptMs - at >= graceMs || !access.may(identity, 'push', repository)) return true
      // Half a grace period more than promised, so that the next request need not write again.
      return await metadata.write('renewManifest', { id, since: at - keptMs + 1.5 * graceMs })
    },

    /** Returns when the manifest will be deleted; undefined if it stays. */
    expiryOf({ id, unreferencedAt, untaggedAt, untaggedDays }: ManifestRow): ExpiringManifest | undefined {
      if (unreferencedAt !== null) return { id, since: unreferencedAt, keptMs: garbageWindow.windowMs }
      const keptMs = untaggedAt === null ? undefined : untaggedMs(garbageWindow, untaggedDays)
      return untaggedAt === null || keptMs === undefined ? undefined : { id, since: untaggedAt, keptMs }
    },
  }
}
