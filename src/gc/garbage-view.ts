import type { Retention } from '../domain/retention.ts'
import type { Explanation } from '../metadata/garbage/explanation.ts'
import type { Candidate, GarbageCursor } from '../metadata/garbage/garbage.ts'
import type { Metadata } from '../metadata/metadata.ts'
import type { Digest } from '../oci/digest.ts'
import { registryError } from '../oci/error.ts'
import type { RepositoryName } from '../oci/reference.ts'

/** Candidates that are read in one go, before other requests have their turn. */
const SLICE_MAX = 5

/** Candidates that totals count at most. */
const COUNTED_MAX = 10_000

const CURSOR = /^[0-5](\.[0-9]{1,15}){3}$/
const START = '0.0.0.0'

export interface CandidatePage {
  items: Candidate[]
  /** Where the next page begins; undefined after the last one. A page may be short, or empty, and have a next one. */
  next: string | undefined
}

/** What the collector would remove, now and later. */
export interface GarbageTotals {
  tags: number
  manifests: number
  repositories: number
  blobs: number
  /** At least so many. */
  bytes: number
  /** Whether that is all: no more than 10,000 are counted. */
  isComplete: boolean
}

/** A dry run: what goes when nothing happens, and why the rest stays. */
export class GarbageView {
  private readonly metadata: Metadata
  private readonly retention: Retention

  constructor(metadata: Metadata, retention: Retention) {
    this.metadata = metadata
    this.retention = retention
  }

  /** At most `limit` candidates after the cursor. Throws REQUEST_INVALID for a cursor that is none. */
  async page(cursor: string | undefined, limit: number): Promise<CandidatePage> {
    const items: Candidate[] = []
    let at: GarbageCursor | undefined = parseCursor(cursor ?? START)
    let slices = 0
    do {
      if (slices++ > 0) await turn()
      const wanted = Math.min(SLICE_MAX, limit - items.length)
      const page = this.metadata.garbage.page(at, this.retention, wanted)
      items.push(...page.items)
      at = page.next
    } while (at !== undefined && items.length < limit && slices * SLICE_MAX <= limit)
    return { items, next: at && formatCursor(at) }
  }

  async totals(): Promise<GarbageTotals> {
    const counts = { tag: 0, manifest: 0, repository: 0, blob: 0 }
    let bytes = 0
    let counted = 0
    let next: string | undefined = START
    while (next !== undefined && counted < COUNTED_MAX) {
      const page: CandidatePage = await this.page(next, SLICE_MAX)
      for (const candidate of page.items) {
        counts[candidate.kind]++
        bytes += candidate.bytes
      }
      counted += page.items.length
      next = page.next
      await turn()
    }
    const { tag, manifest, repository, blob } = counts
    const isComplete = next === undefined
    return { tags: tag, manifests: manifest, repositories: repository, blobs: blob, bytes, isComplete }
  }

  /** Why a digest is kept, or when it goes: in each repository that has it, or in one. */
  explain(digest: Digest, repository?: RepositoryName): Explanation[] {
    return this.metadata.explain(digest, repository, this.retention)
  }
}

function parseCursor(text: string): GarbageCursor {
  if (!CURSOR.test(text)) throw registryError('REQUEST_INVALID', 'this cursor is not one of this list')
  const [source = 0, a = 0, b = 0, c = 0] = text.split('.').map(Number)
  return { source, after: [a, b, c] }
}

function formatCursor({ source, after }: GarbageCursor): string {
  return [source, ...after].join('.')
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
