import type { Write } from '../../domain/access/caller.ts'
import type { Principal } from '../../domain/access/principal.ts'
import type { Collector } from '../../gc/collector.ts'
import type { Purged } from '../../gc/purge.ts'
import type { Candidate } from '../../metadata/garbage/garbage.ts'
import type { PurgeTarget } from '../../metadata/garbage/purge.ts'
import type { Metadata } from '../../metadata/metadata.ts'
import { registryError } from '../../oci/error.ts'
import { unknownRepository } from '../unknown.ts'
import type { OnlyLocal } from './cache/only-local.ts'
import type { GarbageService, GarbageTotals } from './garbage.ts'

/** What a purge would delete. */
export interface Purgeable extends Pick<GarbageTotals, 'repositories' | 'manifests' | 'isComplete'> {
  /**
   * Bytes that become free. For server admins only: anyone who can push could otherwise find out whether another
   * repository has the same content.
   */
  bytes: number | undefined
}

export type { Purged }

export interface PurgeOptions {
  metadata: Metadata
  garbage: GarbageService
  collector: Collector
  requireLocal: OnlyLocal
}

/** Ends the undo window of deleted content, and of manifests that lost their last tag, to free space at once. */
export function purgeService({ metadata, garbage, collector, requireLocal }: PurgeOptions) {
  /** Reports whether a deleted repository has not been purged yet, and whether a manifest does not belong to one. */
  const isKept = ({ kind, repository, since }: Candidate): boolean =>
    kind === 'repository'
      ? since > 0
      : kind === 'manifest' && metadata.repositories.find(repository) !== undefined
  /** Throws NAME_UNKNOWN or MANIFEST_UNKNOWN if there is nothing to purge under this name. */
  const count = async ({ repository, digest }: PurgeTarget): Promise<GarbageTotals> => {
    if (repository) requireLocal(repository, 'its deleted content is evicted immediately')
    const isPurged = (candidate: Candidate): boolean =>
      (candidate.why === 'deleted' || candidate.why === 'unreferenced') &&
      isKept(candidate) &&
      (repository === undefined || candidate.repository === repository) &&
      (digest === undefined || candidate.digest === digest)
    const totals = await garbage.totals(isPurged)
    const isEmpty = totals.isComplete && totals.manifests + totals.repositories === 0
    if (!isEmpty || repository === undefined) return totals
    if (digest !== undefined) {
      const what = `${repository} has no deleted or untagged manifest ${digest}: delete it first`
      throw registryError('MANIFEST_UNKNOWN', what, { detail: { digest } })
    }
    if (metadata.repositories.find(repository) === undefined) throw unknownRepository(repository)
    return totals
  }
  return {
    /** Counts what a purge would delete. Throws NAME_UNKNOWN or MANIFEST_UNKNOWN. */
    async preview(principal: Principal, target: PurgeTarget): Promise<Purgeable> {
      const { repositories, manifests, bytes, isComplete } = await count(target)
      return { repositories, manifests, isComplete, bytes: principal.isAdmin ? bytes : undefined }
    },

    /**
     * Purges, and starts a run of the collector, which frees the space. Nothing that a push in progress may refer to is
     * deleted. Throws NAME_UNKNOWN or MANIFEST_UNKNOWN.
     */
    async purge({ caller }: Write, target: PurgeTarget): Promise<Purged> {
      await count(target)
      const purged = await collector.purge({ ...target, act: { caller } })
      const { waitingUntil } = collector.state()
      // The collector's run reports and logs itself, and the regular runs retry what fails.
      collector.run().catch(() => {})
      const heldUntil = Math.max(purged.heldUntil ?? 0, waitingUntil ?? 0)
      return { ...purged, heldUntil: heldUntil === 0 ? undefined : heldUntil }
    },
  }
}
