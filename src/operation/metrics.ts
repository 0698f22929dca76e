import { readdirSync, readFileSync } from 'node:fs'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { Elysia, t } from 'elysia'
import type { Access, Identity } from '../access/access.ts'
import { commit, version } from '../config/values.ts'
import type { StorageTotals } from '../content/repositories.ts'
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

type Samples = Iterable<[labels: Record<string, string>, value: number]>

const QUANTILES = [50, 99, 100] as const

/** Returns a function that renders the current metrics in Prometheus' text format (0.0.4). */
async function openExposition(sources: ExpositionSources): Promise<() => Promise<string>> {
  const { Counter, Gauge, Registry } = await import('prom-client')
  const registry = new Registry()
  const registers = [registry]
  const counter = (name: string, help: string, labelNames: string[], read: () => Samples) =>
    new Counter({
      name,
      help,
      labelNames,
      registers,
      collect() {
        this.reset()
        for (const [labels, value] of read()) this.inc(labels, value)
      },
    })
  const gauge = (name: string, help: string, labelNames: string[], read: () => Samples) =>
    new Gauge({
      name,
      help,
      labelNames,
      registers,
      collect() {
        this.reset()
        for (const [labels, value] of read()) this.set(labels, value)
      },
    })
  describeRequests(sources, counter)
  const read = async ({ storage, damage, quotas }: ExpositionSources['content']) => ({
    stored: await storage.totals(),
    damaged: await damage.count(),
    quotas: await quotas.list(),
  })
  let now = await read(sources.content)
  describeContent(() => now.stored, gauge)
  gauge('cay_damaged_content', 'Blobs and manifests in quarantine.', [], () => [[{}, now.damaged]])
  gauge('cay_database_faults', 'Faults that the last check of the database found.', [], () => [
    [{}, sources.content.scrub.databaseFaults],
  ])
  describeReserve(sources, counter, gauge)
  describeJobs(sources, counter, gauge)
  describeRetention(sources, counter)
  describeQuotas(() => now.quotas, gauge)
  describeCache(sources, counter, gauge)
  describeProcess(counter, gauge)
  return async () => {
    now = await read(sources.content)
    return (await registry.metrics()) + durations(sources.metrics)
  }
}

type Describe = (name: string, help: string, labels: string[], read: () => Samples) => unknown
function describeRequests({ metrics }: ExpositionSources, counter: Describe): void {
  const { traffic, logins } = metrics
  counter(
    'cay_http_requests_total',
    'HTTP requests by route, method and status.',
    ['route', 'method', 'status'],
    function* () {
      for (const [route, method, { statuses }] of metrics.requests()) {
        for (const [status, count] of statuses.entries()) {
          if (count > 0) yield [{ route, method, status: String(status) }, count]
        }
      }
    },
  )
  counter('cay_received_bytes_total', 'Bytes of blobs and manifests received from clients.', [], () => [
    [{}, traffic.received],
  ])
  counter(
    'cay_sent_bytes_total',
    'Bytes of blobs and manifests in responses, including those a client disconnected from.',
    [],
    () => [[{}, traffic.sent]],
  )
  counter('cay_logins_total', 'Password sign-ins by result.', ['result'], () => [
    [{ result: 'ok' }, logins.ok],
    [{ result: 'failed' }, logins.failed],
  ])
}

function describeReserve({ content }: ExpositionSources, counter: Describe, gauge: Describe): void {
  const { reserve } = content
  gauge('cay_disk_reserve_bytes', 'Free bytes of the disk below which the server is not ready.', [], () => [
    [{}, reserve.bytesMin],
  ])
  counter('cay_disk_low_total', 'Times that the free bytes of the disk fell below the reserve.', [], () => [
    [{}, reserve.falls],
  ])
}

function describeContent(stored: () => StorageTotals, gauge: Describe): void {
  gauge('cay_uploads_in_progress', 'Uploads in progress.', [], () => [[{}, stored().uploads.count]])
  gauge('cay_blobs', 'Stored blobs.', [], () => [[{}, stored().blobs.count]])
  gauge('cay_blob_bytes', 'Bytes of all stored blobs.', [], () => [[{}, stored().blobs.bytes]])
  gauge('cay_disk_bytes', 'Size of the disk that holds the data folder, in bytes.', ['kind'], () => [
    [{ kind: 'total' }, stored().disk.totalBytes],
    [{ kind: 'free' }, stored().disk.freeBytes],
  ])
}

function describeJobs({ content: { jobs } }: ExpositionSources, counter: Describe, gauge: Describe): void {
  gauge('cay_jobs_running', 'Jobs waiting or running.', ['kind'], () => {
    const counts = jobs.counts()
    return Object.entries(counts).map(([kind, { running }]) => [{ kind }, running])
  })
  counter('cay_jobs_ended_total', 'Jobs ended, by final state.', ['kind', 'state'], function* () {
    for (const [kind, { ended }] of Object.entries(jobs.counts())) {
      for (const [state, count] of Object.entries(ended)) yield [{ kind, state }, count]
    }
  })
}

function describeRetention({ content }: ExpositionSources, counter: Describe): void {
  counter(
    'cay_retention_expired_total',
    'Tags and untagged manifests that policies expired.',
    ['kind'],
    () => {
      const { tags, manifests } = content.retention.expired
      return [
        [{ kind: 'tag' }, tags],
        [{ kind: 'manifest' }, manifests],
      ]
    },
  )
}

function describeQuotas(quotas: () => QuotaState[], gauge: Describe): void {
  gauge(
    'cay_quota_bytes',
    'Bytes that quotas allow, and that are used.',
    ['namespace', 'kind'],
    function* () {
      for (const { namespace, bytesMax, usage } of quotas()) {
        if (bytesMax === undefined || usage === undefined) continue
        yield [{ namespace, kind: 'limit' }, bytesMax]
        yield [{ namespace, kind: 'used' }, usage.bytes]
      }
    },
  )
  gauge('cay_quota_percent', 'The largest share of a limit that is used.', ['namespace'], function* () {
    for (const { namespace, percent } of quotas()) {
      if (percent !== undefined) yield [{ namespace }, percent]
    }
  })
}

function describeCache({ metrics, content }: ExpositionSources, counter: Describe, gauge: Describe): void {
  const { cache } = metrics
  const counted = (tally: typeof cache.requests, names: string[]): Samples =>
    tally.list().map(({ labels, count }) => {
      return [Object.fromEntries(names.map((name, at) => [name, labels[at] ?? ''])), count]
    })
  counter(
    'cay_cache_requests_total',
    'Requests for cached repositories by result.',
    ['upstream', 'result'],
    () => counted(cache.requests, ['upstream', 'result']),
  )
  counter(
    'cay_upstream_requests_total',
    'Requests to upstreams by kind and result.',
    ['upstream', 'kind', 'result'],
    () => counted(cache.upstreamRequests, ['upstream', 'kind', 'result']),
  )
  counter('cay_upstream_bytes_total', 'Bytes of blobs downloaded from upstreams.', ['upstream'], () =>
    counted(cache.upstreamBytes, ['upstream']),
  )
  gauge(
    'cay_upstream_up',
    '1 if the upstream responds; 0 if it is down or set to offline.',
    ['upstream'],
    () =>
      content.upstreamStates.list().map(({ name, state }) => [{ upstream: name }, Number(state === 'up')]),
  )
  gauge(
    'cay_upstream_pulls_remaining',
    'Pulls remaining in the current rate limit, as reported by the upstream.',
    ['upstream'],
    function* () {
      for (const { name, pullsRemaining } of content.upstreamStates.list()) {
        if (pullsRemaining !== undefined) yield [{ upstream: name }, pullsRemaining]
      }
    },
  )
  gauge(
    'cay_cache_bytes',
    'Bytes of cached blobs, manifests and interrupted downloads that can be evicted.',
    [],
    () => [[{}, content.cache.totals().bytes]],
  )
  gauge('cay_cache_fills', 'Blob downloads from upstreams in progress.', [], () => [
    [{}, content.cache.totals().fills],
  ])
  counter('cay_cache_hit_bytes_total', 'Bytes of blobs served from the cache without a download.', [], () => [
    [{}, cache.hitBytes],
  ])
  counter('cay_cache_evicted_bytes_total', 'Bytes evicted from the cache.', [], () => [
    [{}, cache.evictedBytes],
  ])
  counter('cay_cache_resumed_total', 'Upstream downloads resumed after an interruption.', [], () => [
    [{}, cache.resumed],
  ])
}

function describeProcess(counter: Describe, gauge: Describe): void {
  const delay = monitorEventLoopDelay({ resolution: 10 })
  delay.enable()
  gauge('cay_event_loop_delay_seconds', 'Event loop delay since the last scrape.', ['quantile'], () => {
    const samples = QUANTILES.map((percent): [Record<string, string>, number] => [
      { quantile: String(percent / 100) },
      (percent === 100 ? delay.max : delay.percentile(percent)) / 1e9,
    ])
    delay.reset()
    return samples
  })
  gauge('cay_info', 'Version and commit of the running server.', ['version', 'commit'], () => [
    [{ version, commit }, 1],
  ])
  counter('process_cpu_seconds_total', 'Total user and system CPU time, in seconds.', [], () => [
    [{}, processNumbers.cpuSeconds()],
  ])
  gauge('process_resident_memory_bytes', 'Resident memory size, in bytes.', [], () => [
    [{}, processNumbers.residentBytes()],
  ])
  gauge(
    'process_start_time_seconds',
    'Start time of the process since the Unix epoch, in seconds.',
    [],
    () => [[{}, processNumbers.startSeconds()]],
  )
  gauge('process_open_fds', 'Open file descriptors.', [], () => toSample(processNumbers.openFiles()))
  gauge('process_max_fds', 'Maximum number of open file descriptors.', [], () =>
    toSample(processNumbers.filesMax()),
  )
}

/** Returns no sample on systems that do not report the value. */
function toSample(value: number | undefined): [Record<string, string>, number][] {
  return value === undefined ? [] : [[{}, value]]
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

/** Resource usage of this process, as the operating system reports it. */
const processNumbers = {
  cpuSeconds(): number {
    const { user, system } = process.cpuUsage()
    return (user + system) / 1e6
  },
  residentBytes: (): number => process.memoryUsage.rss(),
  /** Seconds since 1970. */
  startSeconds: (): number => Math.floor(Date.now() / 1000 - process.uptime()),
  /** Returns the number of open files and sockets; undefined except on Linux. */
  openFiles: (): number | undefined => orUndefined(() => readdirSync('/proc/self/fd').length),
  /** Returns the limit of open files and sockets; undefined except on Linux, or if unlimited. */
  filesMax: (): number | undefined =>
    orUndefined(() => {
      const limit = /^Max open files +(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1]
      return limit === undefined ? undefined : Number(limit)
    }),
}

function orUndefined<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch {
    return undefined
  }
}
