/** Counters by label values. The values must be bounded: configured upstreams and constants of the code. */
class Tally {
  private readonly counts = new Map<string, { labels: readonly string[]; count: number }>()

  add(labels: readonly string[], count = 1): void {
    const key = labels.join(' ')
    const found = this.counts.get(key)
    if (found === undefined) this.counts.set(key, { labels, count })
    else found.count += count
  }

  /** Returns all counters with their labels. */
  list(): { labels: readonly string[]; count: number }[] {
    return [...this.counts.values()]
  }
}

/** Results of client requests that needed no download of their own. */
const HITS: ReadonlySet<string | undefined> = new Set(['hit', 'stale', 'joined'])

/** Counters of the cache. */
export class CacheCounts {
  /** Client requests, by upstream and result. */
  readonly requests = new Tally()
  /** Requests to upstreams, by upstream, kind and result. */
  readonly upstreamRequests = new Tally()
  /** Bytes of downloaded blobs, by upstream. */
  readonly upstreamBytes = new Tally()
  /** Bytes of blobs that clients read from the cache, without a download. */
  hitBytes = 0
  evictedBytes = 0
  /** Downloads that were resumed. */
  resumed = 0

  /** Sums of all upstreams. */
  totals(): { requests: number; hits: number; hitBytes: number; downloadedBytes: number } {
    const requests = this.requests.list()
    return {
      requests: sumOf(requests),
      hits: sumOf(requests.filter(({ labels: [, result] }) => HITS.has(result))),
      hitBytes: this.hitBytes,
      downloadedBytes: sumOf(this.upstreamBytes.list()),
    }
  }
}

function sumOf(counters: readonly { count: number }[]): number {
  return counters.reduce((sum, { count }) => sum + count, 0)
}
