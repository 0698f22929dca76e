import type { GarbageWindow } from '../../domain/retention/garbage-window.ts'
import type { Collector, Run as CollectorRun, CollectorState } from '../../gc/collector.ts'
import type { Explanation } from '../../metadata/garbage/explanation.ts'
import type { Candidate, GarbageCursor } from '../../metadata/garbage/garbage.ts'
import type { Metadata } from '../../metadata/metadata.ts'
import type { Digest } from '../../oci/digest.ts'
import type { RepositoryName } from '../../oci/reference.ts'
import { turn } from '../../turn.ts'
import { formatCursor, type ListPage, PAGE_DEFAULT, type PageQuery, parseCursor } from '../page.ts'

/** How many candidates are read before other requests get a turn. */
const SLICE_MAX = 5

/** How many candidates the totals count at most. */
const COUNTED_MAX = 10_000

export type { Candidate, CollectorRun, Explanation }

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
