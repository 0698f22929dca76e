import { readdirSync, readFileSync } from 'node:fs'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { Elysia, t } from 'elysia'
import type { Access, Identity } from '../access/access.ts'
import { commit, version } from '../config/values.ts'
import type { ApiServices } from '../http/controller.ts'
import { registryError } from '../oci/error.ts'
import type { QuotaState } from '../quota/quota.ts'
import { BUCKET_SECONDS, type Metrics } from '../runtime/metrics.ts'

/** Who may read the metrics: server admins, anyone, or no one. */
export type MetricsAccess = 'admin' | 'anonymous' | 'off'

export interface MetricsOptions extends ExpositionSources {
  mode: MetricsAccess
  access: Access
  /** Returns the caller's identity; throws UNAUTHORIZED. */
  authenticate: (request: Request) => Identity | Promise<Identity>
}

const TEXT = 'text/plain; version=0.0.4; charset=utf-8'

const SECURITY: Record<MetricsAccess, Record<string, never[]>[]> = {
  admin: [{ basic: [] }, { bearer: [] }],
  anonymous: [{}],
  off: [],
}

/** GET /metrics: the metrics of this process, for Prometheus. */
export function metrics({ mode, access, authenticate, ...sources }: MetricsOptions) {
  const app = new Elysia({ name: 'metrics', tags: ['metrics'] })
  if (mode === 'off') return app
  let exposition: ReturnType<typeof openExposition> | undefined
  return app.get(
    '/metrics',
    async ({ request }) => {
      if (mode === 'admin' && !access.isOpen) checkAdmin(await authenticate(request))
      exposition ??= openExposition(sources)
      return new Response(await (await exposition)(), {
        headers: { 'content-type': TEXT, 'cache-control': 'no-store' },
      })
    },
    {
      response: { 200: t.String({ description: 'The metrics', example: 'cay_blobs 42' }) },
      detail: {
        summary: 'Get metrics in the Prometheus text format',
        operationId: 'getMetrics',
        security: SECURITY[mode],
        'x-media-type': 'text/plain',
      },
    },
  )
}

/** Throws unless the caller is a server admin. A token's scope does not matter, since metrics belong to no repository. */
function checkAdmin({ account, isAdmin }: Identity): void {
  if (isAdmin) return
  if (account === undefined)
    throw registryError('UNAUTHORIZED', 'authentication required: use Basic, or a token as Bearer')
  throw registryError('DENIED', 'only server admins may read the metrics')
}

interface ExpositionSources {
  metrics: Metrics
  content: ApiServices
}

const QUANTILES = [50, 99, 100] as const

/** The values of a metric, each with those of its labels. */
type Samples = Iterable<[labels: readonly string[], value: number]>

/**
 * A metric, which is a counter if its name ends with `_total`. Without labels it has one value, or none where the system
 * does not report it.
 */
type Row = [name: string, help: string, read: () => number | undefined | Samples, ...labels: string[]]

/** Returns a function that renders the current metrics in Prometheus' text format (0.0.4). */
async function openExposition({ metrics, content }: ExpositionSources): Promise<() => Promise<string>> {
  const { Counter, Gauge, Registry } = await import('prom-client')
  const registry = new Registry()
  const read = async () => ({
    stored: await content.storage.totals(),
    damaged: await content.damage.count(),
    quotas: await content.quotas.list(),
  })
  let now = await read()
  const rows = [
    ...requestRows(metrics),
    ...contentRows(content, () => now),
    ...cacheRows(metrics, content),
    ...processRows(),
  ]
  for (const [name, help, read, ...labelNames] of rows) {
    const options = { name, help, labelNames, registers: [registry] }
    const samples = (): [Record<string, string>, number][] => {
      const found = read()
      if (found === undefined) return []
      if (typeof found === 'number') return [[{}, found]]
      return Array.from(found, ([labels, value]) => [
        Object.fromEntries(labelNames.map((label, at) => [label, labels[at] ?? ''])),
        value,
      ])
    }
    if (name.endsWith('_total')) {
      new Counter({
        ...options,
        collect() {
          this.reset()
          for (const [labels, value] of samples()) this.inc(labels, value)
        },
      })
    } else {
      new Gauge({
        ...options,
        collect() {
          this.reset()
          for (const [labels, value] of samples()) this.set(labels, value)
        },
      })
    }
  }
  return async () => {
    now = await read()
    return (await registry.metrics()) + durations(metrics)
  }
}

function requestRows(metrics: Metrics): Row[] {
  const { traffic, logins } = metrics
  function* byStatus(): Samples {
    for (const [route, method, { statuses }] of metrics.requests()) {
      for (const [status, count] of statuses.entries()) {
        if (count > 0) yield [[route, method, String(status)], count]
      }
    }
  }
  const results = (): Samples => [
    [['ok'], logins.ok],
    [['failed'], logins.failed],
  ]
  const requests = [byStatus, 'route', 'method', 'status'] as const
  const received = 'Bytes of blobs and manifests received from clients.'
  const sent = 'Bytes of blobs and manifests in responses, including those a client disconnected from.'
  return [
    ['cay_http_requests_total', 'HTTP requests by route, method and status.', ...requests],
    ['cay_received_bytes_total', received, () => traffic.received],
    ['cay_sent_bytes_total', sent, () => traffic.sent],
    ['cay_logins_total', 'Password sign-ins by result.', results, 'result'],
  ]
}

/** @param now returns what was read for this exposition */
function contentRows(
  { reserve, scrub, jobs, retention }: ApiServices,
  now: () => {
    stored: Awaited<ReturnType<ApiServices['storage']['totals']>>
    damaged: number
    quotas: QuotaState[]
  },
): Row[] {
  const stored = () => now().stored
  const disk = (): Samples => [
    [['total'], stored().disk.totalBytes],
    [['free'], stored().disk.freeBytes],
  ]
  const running = (): Samples => Object.entries(jobs.counts()).map(([kind, { running }]) => [[kind], running])
  const ended = (): Samples =>
    Object.entries(jobs.counts()).flatMap(([kind, { ended }]) =>
      Object.entries(ended).map(([state, count]): [string[], number] => [[kind, state], count]),
    )
  const expired = (): Samples => [
    [['tag'], retention.expired.tags],
    [['manifest'], retention.expired.manifests],
  ]
  function* quotaBytes(): Samples {
    for (const { namespace, bytesMax, usage } of now().quotas) {
      if (bytesMax === undefined || usage === undefined) continue
      yield [[namespace, 'limit'], bytesMax]
      yield [[namespace, 'used'], usage.bytes]
    }
  }
  function* quotaPercent(): Samples {
    for (const { namespace, percent } of now().quotas) if (percent !== undefined) yield [[namespace], percent]
  }
  const low = 'Times that the free bytes of the disk fell below the reserve.'
  const min = 'Free bytes of the disk below which the server is not ready.'
  const faults = 'Faults that the last check of the database found.'
  return [
    ['cay_uploads_in_progress', 'Uploads in progress.', () => stored().uploads.count],
    ['cay_blobs', 'Stored blobs.', () => stored().blobs.count],
    ['cay_blob_bytes', 'Bytes of all stored blobs.', () => stored().blobs.bytes],
    ['cay_disk_bytes', 'Size of the disk that holds the data folder, in bytes.', disk, 'kind'],
    ['cay_damaged_content', 'Blobs and manifests in quarantine.', () => now().damaged],
    ['cay_database_faults', faults, () => scrub.databaseFaults],
    ['cay_disk_reserve_bytes', min, () => reserve.bytesMin],
    ['cay_disk_low_total', low, () => reserve.falls],
    ['cay_jobs_running', 'Jobs waiting or running.', running, 'kind'],
    ['cay_jobs_ended_total', 'Jobs ended, by final state.', ended, 'kind', 'state'],
    ['cay_retention_expired_total', 'Tags and untagged manifests that policies expired.', expired, 'kind'],
    ['cay_quota_bytes', 'Bytes that quotas allow, and that are used.', quotaBytes, 'namespace', 'kind'],
    ['cay_quota_percent', 'The largest share of a limit that is used.', quotaPercent, 'namespace'],
  ]
}

function cacheRows({ cache }: Metrics, content: ApiServices): Row[] {
  const states = () => content.upstreamStates.list()
  const counted = (tally: typeof cache.requests) => (): Samples =>
    tally.list().map(({ labels, count }) => [labels, count])
  const up = (): Samples => states().map(({ name, state }) => [[name], Number(state === 'up')])
  function* pullsRemaining(): Samples {
    for (const { name, pullsRemaining } of states()) {
      if (pullsRemaining !== undefined) yield [[name], pullsRemaining]
    }
  }
  const requests = [counted(cache.requests), 'upstream', 'result'] as const
  const upstreamRequests = [counted(cache.upstreamRequests), 'upstream', 'kind', 'result'] as const
  const remaining = 'Pulls remaining in the current rate limit, as reported by the upstream.'
  const evictable = 'Bytes of cached blobs, manifests and interrupted downloads that can be evicted.'
  const hits = 'Bytes of blobs served from the cache without a download.'
  const resumed = 'Upstream downloads resumed after an interruption.'
  const bytes = 'Bytes of blobs downloaded from upstreams.'
  return [
    ['cay_cache_requests_total', 'Requests for cached repositories by result.', ...requests],
    ['cay_upstream_requests_total', 'Requests to upstreams by kind and result.', ...upstreamRequests],
    ['cay_upstream_bytes_total', bytes, counted(cache.upstreamBytes), 'upstream'],
    ['cay_upstream_up', '1 if the upstream responds; 0 if it is down or set to offline.', up, 'upstream'],
    ['cay_upstream_pulls_remaining', remaining, pullsRemaining, 'upstream'],
    ['cay_cache_bytes', evictable, () => content.cache.totals().bytes],
    ['cay_cache_fills', 'Blob downloads from upstreams in progress.', () => content.cache.totals().fills],
    ['cay_cache_hit_bytes_total', hits, () => cache.hitBytes],
    ['cay_cache_evicted_bytes_total', 'Bytes evicted from the cache.', () => cache.evictedBytes],
    ['cay_cache_resumed_total', resumed, () => cache.resumed],
  ]
}

function processRows(): Row[] {
  const delay = monitorEventLoopDelay({ resolution: 10 })
  delay.enable()
  const delays = () => {
    const samples = QUANTILES.map((percent): [string[], number] => [
      [String(percent / 100)],
      (percent === 100 ? delay.max : delay.percentile(percent)) / 1e9,
    ])
    delay.reset()
    return samples
  }
  const cpuSeconds = () => {
    const { user, system } = process.cpuUsage()
    return (user + system) / 1e6
  }
  const startSeconds = () => Math.floor(Date.now() / 1000 - process.uptime())
  const info = (): Samples => [[[version, commit], 1]]
  const rss = () => process.memoryUsage.rss()
  const start = 'Start time of the process since the Unix epoch, in seconds.'
  return [
    ['cay_event_loop_delay_seconds', 'Event loop delay since the last scrape.', delays, 'quantile'],
    ['cay_info', 'Version and commit of the running server.', info, 'version', 'commit'],
    ['process_cpu_seconds_total', 'Total user and system CPU time, in seconds.', cpuSeconds],
    ['process_resident_memory_bytes', 'Resident memory size, in bytes.', rss],
    ['process_start_time_seconds', start, startSeconds],
    ['process_open_fds', 'Open file descriptors.', openFiles],
    ['process_max_fds', 'Maximum number of open file descriptors.', filesMax],
  ]
}

const DURATION = 'cay_http_request_duration_seconds'

/** Renders the request histogram from its plain arrays. Route ids contain no character that labels must escape. */
function durations(metrics: Metrics): string {
  const lines = [
    `\n# HELP ${DURATION} Time from a request until its response begins, in seconds.`,
    `# TYPE ${DURATION} histogram`,
  ]
  for (const [route, method, { buckets, sum }] of metrics.requests()) {
    const labels = `route="${route}",method="${method}"`
    let count = 0
    for (const [at, inBucket] of buckets.entries()) {
      count += inBucket
      lines.push(`${DURATION}_bucket{${labels},le="${BUCKET_SECONDS[at] ?? '+Inf'}"} ${count}`)
    }
    lines.push(`${DURATION}_sum{${labels}} ${sum}`, `${DURATION}_count{${labels}} ${count}`)
  }
  return `${lines.join('\n')}\n`
}

/** Returns the number of open files and sockets; undefined except on Linux. */
function openFiles(): number | undefined {
  try {
    return readdirSync('/proc/self/fd').length
  } catch {
    return undefined
  }
}

/** Returns the limit of open files and sockets; undefined except on Linux, or if unlimited. */
function filesMax(): number | undefined {
  try {
    const limit = /^Max open files +(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1]
    return limit === undefined ? undefined : Number(limit)
  } catch {
    return undefined
  }
}
