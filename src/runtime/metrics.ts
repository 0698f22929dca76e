/** The upper bounds of the histogram's buckets, in seconds. One more bucket has no bound. */
export const BUCKET_SECONDS: readonly number[] = [
  0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10,
]

const STATUSES = 600

/**
 * Counts the requests of one route and method. Callers look it up once, and its numbers are in plain arrays, so counting
 * costs a request almost nothing.
 */
export class RequestMeter {
  /** Requests by status. */
  readonly statuses = new Float64Array(STATUSES)
  /** Requests by duration: one bucket more than there are bounds. */
  readonly buckets = new Float64Array(BUCKET_SECONDS.length + 1)
  /** Total duration in seconds. */
  sum = 0

  /** @param began when the request arrived, from performance.now() */
  count(status: number, began: number): void {
    const seconds = (performance.now() - began) / 1000
    let bucket = 0
    while (seconds > (BUCKET_SECONDS[bucket] ?? Number.POSITIVE_INFINITY)) bucket++
    this.statuses[status] = (this.statuses[status] ?? 0) + 1
    this.buckets[bucket] = (this.buckets[bucket] ?? 0) + 1
    this.sum += seconds
  }
}

const METHODS: readonly string[] = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']

/** Counters of this process. */
export class Metrics {
  /** Bytes of blobs and manifests. */
  readonly traffic = { received: 0, sent: 0 }
  /** Password sign-ins; `failed` includes refused ones. */
  readonly logins = { ok: 0, failed: 0 }
  readonly cache = new CacheCounts()
  private readonly meters = new Map<string, [route: string, method: string, meter: RequestMeter]>()

  /**
   * Returns the meter of a route and a method.
   *
   * @param route a route's id or path template. The set must be bounded, so never pass anything from a client.
   */
  meter(route: string, method: string): RequestMeter {
    const known = METHODS.includes(method) ? method : 'other'
    const key = `${known} ${route}`
    const found = this.meters.get(key)?.[2]
    if (found) return found
    const meter = new RequestMeter()
    this.meters.set(key, [route, known, meter])
    return meter
  }

  /** Returns every meter so far, with its route and method. */
  requests(): Iterable<[route: string, method: string, meter: RequestMeter]> {
    return this.meters.values()
  }
}

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
