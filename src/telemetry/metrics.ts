import { CacheCounts } from './cache-counts.ts'

/** The upper ends of the histogram's buckets, in seconds; the last bucket has no end. */
export const BUCKET_SECONDS: readonly number[] = [
  0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10,
]

const STATUSES = 600

/**
 * Counts the requests of one route and method. It is asked for once and kept, and its numbers are in plain arrays, so
 * that counting costs a request next to nothing.
 */
export class RequestMeter {
  /** Requests by status. */
  readonly statuses = new Float64Array(STATUSES)
  /** Requests by how long they took: one more bucket than there are ends. */
  readonly buckets = new Float64Array(BUCKET_SECONDS.length + 1)
  /** All together, in seconds. */
  sum = 0

  /** @param began when the request came, as performance.now() */
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

/** What this process counts while it serves. */
export class Metrics {
  /** Bytes of blobs and manifests. */
  readonly traffic = { received: 0, sent: 0 }
  /** Passwords that were tried: right, and wrong or refused. */
  readonly logins = { ok: 0, failed: 0 }
  readonly cache = new CacheCounts()
  private readonly meters = new Map<string, [route: string, method: string, meter: RequestMeter]>()

  /**
   * The meter of a route and a method.
   *
   * @param route a row's id, or the template of a path: one of a bounded number, never what a client names
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

  /** Each meter that was asked for, with its route and method. */
  requests(): Iterable<[route: string, method: string, meter: RequestMeter]> {
    return this.meters.values()
  }
}
