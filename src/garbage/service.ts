import type { Write } from '../access/access.ts'
import type { Principal } from '../access/decision.ts'
import type { Metadata } from '../database/metadata.ts'
import { formatCursor, type ListPage, PAGE_DEFAULT, type PageQuery, parseCursor } from '../http/list-page.ts'
import type { JobWork } from '../jobs/jobs.ts'
import type { Digest } from '../oci/digest.ts'
import { registryError } from '../oci/error.ts'
import type { RepositoryName } from '../oci/reference.ts'
import type { RequireLocal } from '../registry/registry.ts'
import { unknownRepository } from '../registry/registry.ts'
import type { GarbageWindow } from '../registry/store.ts'
import { turn } from '../runtime/turn.ts'
import type { Explanation } from './explanation.ts'
import type { Collected, Collector, CollectorState, Purged } from './garbage.ts'
import type { PurgeTarget } from './purge.ts'
import type { Candidate, GarbageCursor } from './waiting.ts'

declare module '../http/controller.ts' {
  interface ApiServices {
    garbage: GarbageService
    purges: ReturnType<typeof purgeService>
  }
}

/** How many candidates are read before other requests get a turn. */
const SLICE_MAX = 5

/** How many candidates the totals count at most. */
const COUNTED_MAX = 10_000

/** The collector's state, and how long it keeps garbage. */
export interface GarbageState extends CollectorState {
  garbageWindow: GarbageWindow
}

/** What the collector would remove, now and later. */
export interface GarbageTotals {
  tags: number
  manifests: number
  repositories: number
  blobs: number
  /** A lower bound unless `isComplete`. */
  bytes: number
  /** Whether all candidates were counted. At most 10,000 are. */
  isComplete: boolean
}

/** Reports what garbage collection would delete, and why it keeps the rest. */
export class GarbageService {
  private readonly metadata: Metadata
  private readonly garbageWindow: GarbageWindow
  private readonly collector: Collector

  constructor(metadata: Metadata, garbageWindow: GarbageWindow, collector: Collector) {
    this.metadata = metadata
    this.garbageWindow = garbageWindow
    this.collector = collector
  }

  state(): GarbageState {
    return { ...this.collector.state(), garbageWindow: this.garbageWindow }
  }

  /** Lists what would be deleted. A page may be short or empty and still have a next. Throws REQUEST_INVALID. */
  async candidates({ cursor, limit = PAGE_DEFAULT }: PageQuery): Promise<ListPage<Candidate>> {
    const items: Candidate[] = []
    const [source = 0, ...after] = parseCursor(cursor, 0, 0, 0, 0)
    let at: GarbageCursor | undefined = { source, after: after as GarbageCursor['after'] }
    let slices = 0
    do {
      if (slices++ > 0) await turn()
      const wanted = Math.min(SLICE_MAX, limit - items.length)
      const page = await this.metadata.garbage.page(at, this.garbageWindow, wanted)
      items.push(...page.items)
      at = page.next
    } while (at !== undefined && items.length < limit && slices * SLICE_MAX <= limit)
    return at === undefined ? { items } : { items, next: formatCursor(at.source, ...at.after) }
  }

  /** Counts the candidates of a kind. */
  async totals(isCounted: (candidate: Candidate) => boolean = () => true): Promise<GarbageTotals> {
    const counts = { tag: 0, manifest: 0, repository: 0, blob: 0 }
    let bytes = 0
    let counted = 0
    let cursor: string | undefined
    do {
      const page: ListPage<Candidate> = await this.candidates({ cursor, limit: SLICE_MAX })
      for (const candidate of page.items) {
        if (!isCounted(candidate)) continue
        counts[candidate.kind]++
        bytes += candidate.bytes
      }
      counted += page.items.length
      cursor = page.next
      await turn()
    } while (cursor !== undefined && counted < COUNTED_MAX)
    const { tag, manifest, repository, blob } = counts
    const isComplete = cursor === undefined
    return { tags: tag, manifests: manifest, repositories: repository, blobs: blob, bytes, isComplete }
  }

  /** Returns how many bytes would be deleted of each repository, as far as the first `limit` candidates tell. */
  async bytesByRepository(limit: number): Promise<Map<string, number>> {
    const bytes = new Map<string, number>()
    const { items } = await this.candidates({ limit })
    for (const { repository, bytes: own } of items) bytes.set(repository, (bytes.get(repository) ?? 0) + own)
    return bytes
  }

  /** Explains why a digest is kept, or when it is deleted, in one repository or in each that has it. */
  async explain(digest: Digest, repository?: RepositoryName): Promise<Explanation[]> {
    return this.metadata.explain(digest, repository, this.garbageWindow)
  }
}

/** What a purge would delete. */
export interface Purgeable extends Pick<GarbageTotals, 'repositories' | 'manifests' | 'isComplete'> {
  /**
   * Bytes that become free. For server admins only: anyone who can push could otherwise find out whether another
   * repository has the same content.
   */
  bytes: number | undefined
}

export interface PurgeOptions {
  metadata: Metadata
  garbage: GarbageService
  collector: Collector
  requireLocal: RequireLocal
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

/** Returns a garbage collection as the work of a job. */
export function collectJob(collector: Collector): JobWork {
  return async ({ signal, progress }) => {
    const run = await collector.run(signal, (collected) => progress(rowsOf(collected)))
    if (run.stopped === 'cancelled') signal.throwIfAborted()
    const { tags, manifests, repositories, blobs, bytes } = run
    return { tags, manifests, repositories, blobs, bytes }
  }
}

/** Returns a scan of all files and blobs as the work of a job. */
export function scanJob(collector: Collector): JobWork {
  return async ({ options, ...run }) => ({ ...(await collector.scan({ ...run, ...options })) })
}

function rowsOf({ tags, manifests, repositories, blobs }: Collected): number {
  return tags + manifests + repositories + blobs
}
