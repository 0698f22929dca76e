/** Counters by label values. The values must be bounded: configured upstreams and constants of the code. */
class Tally {
  private readonly counters: Counter[] = []
  private readonly root: Branch = { below: new Map(), counter: undefined }

  add(labels: readonly string[], count = 1): void {
    this.counterOf(labels).count += count
  }

  /** Returns all counters with their labels. */
  list(): readonly Counter[] {
    return this.counters
  }

  /** Finds a counter label by label. Joining the labels to a key would cost each hit a string and its hash. */
  private counterOf(labels: readonly string[]): Counter {
    let at = this.root
    for (const label of labels) {
      let next = at.below.get(label)
      if (next === undefined) {
        next = { below: new Map(), counter: undefined }
        at.below.set(label, next)
      }
      at = next
    }
    if (at.counter === undefined) {
      at.counter = { labels, count: 0 }
      this.counters.push(at.counter)
    }
    return at.counter
  }
}

interface Counter {
  labels: readonly string[]
  count: number
}

/** The counters whose first labels are the same. */
interface Branch {
  below: Map<string, Branch>
  counter: Counter | undefined
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
