/** Numbers by a few labels, which are of a bounded number: upstreams that are configured, and words of the code. */
class Tally {
  private readonly counts = new Map<string, { labels: readonly string[]; count: number }>()

  add(labels: readonly string[], count = 1): void {
    const key = labels.join(' ')
    const found = this.counts.get(key)
    if (found === undefined) this.counts.set(key, { labels, count })
    else found.count += count
  }

  /** All of them, each with its labels. */
  list(): { labels: readonly string[]; count: number }[] {
    return [...this.counts.values()]
  }
}

/** What the cache counts while it serves. */
export class CacheCounts {
  /** Requests of clients: upstream, result. */
  readonly requests = new Tally()
  /** Requests to upstreams: upstream, kind, result. */
  readonly upstreamRequests = new Tally()
  /** Bytes of blobs that came: upstream. */
  readonly upstreamBytes = new Tally()
  evictedBytes = 0
  /** Downloads that went on from a byte. */
  resumed = 0
}
