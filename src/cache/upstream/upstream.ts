import { matchesPattern, parseRepositoryPattern } from '../../access/patterns.ts'
import type { UpstreamSettings } from '../../config/upstreams.ts'
import { hasMoreItems } from '../../oci/image-config.ts'
import { MEDIA_TYPE, parseContentType } from '../../oci/manifest.ts'
import {
  type Digest,
  formatReference,
  parseRepositoryName,
  type Reference,
  type RepositoryName,
  tryParseDigest,
} from '../../oci/reference.ts'
import type { Upstreams } from '../../registry/registry.ts'
import { Places, Rate } from '../pace.ts'
import {
  type AnswerMemory,
  Deadline,
  lengthOf,
  mayRefuseHead,
  partOf,
  readBounded,
  type TimeLimits,
  UpstreamError,
  type UpstreamErrorKind,
} from './answer.ts'
import { type Environment, RequestPlaces, type Resolve, systemResolve } from './connections.ts'
import { discard, Endpoint, type EndpointRequest, type LimitedKind } from './endpoint.ts'

/** How long a requested check waits. */
const REACH_SECONDS_MAX = 10

/** The largest page of tags or referrers, in bytes. */
const LIST_BYTES_MAX = 4 * 1024 * 1024

/** The maximum members and entries of one page. This many are parsed in about 10 ms. */
const LIST_ITEMS_MAX = 50_000

const ACCEPT = Object.values(MEDIA_TYPE).join(', ')

type RequestKind = Exclude<LimitedKind, 'token'>

export interface UpstreamOptions {
  monotonic: () => number
  limits: TimeLimits
  resolve?: Resolve
  /** The variables that can name proxies. */
  environment?: Environment
  /** Called with the result of each request. */
  onRequest?: (upstream: string, kind: RequestKind, result: 'ok' | UpstreamErrorKind) => void
  /** Shared by all upstreams. */
  memory: AnswerMemory
  /** Places of all requests but downloads of blobs. Shared by all upstreams. */
  requestPlaces: Places
}

/** A manifest as the upstream sent it. Its memory counts until it is disposed. */
export interface FetchedManifest extends Disposable {
  bytes: Uint8Array<ArrayBuffer>
  mediaType: string | undefined
  /** The digest that the upstream reported, which is not verified. */
  digest: Digest | undefined
}

export interface FetchedBlob {
  stream: ReadableStream<Uint8Array>
  /** The offset at which the stream begins. */
  from: number
  /** The size of the whole blob in bytes, if the upstream reports it. */
  total: number | undefined
  /** Waits until received bytes are within the upstream's rate. Call it for each chunk, before the next one is read. */
  take(bytes: number, signal?: AbortSignal): Promise<void> | undefined
}

/** How long an upstream may take until the headers of a response. */
export interface AnswerTime {
  deadlineMs: number
  /** How long clients wait, if that is shorter. Within this time, each endpoint is asked. */
  clientWaitMs?: number
}

/** What each endpoint can be asked. */
interface Question extends AnswerTime {
  kind: RequestKind
  /** How many of the first endpoints to ask last. */
  avoid?: number
}

type SentRequest = Omit<EndpointRequest, 'kind' | 'scope' | 'signal'> & { signal?: AbortSignal }

/** Sends a request to one endpoint. */
type Send = (asked: SentRequest) => Promise<Response>

/**
 * A registry whose content is cached. Its responses are unverified, and failures are UpstreamErrors. Its endpoints, the
 * registry and that registry's mirrors, are asked in order.
 */
export class Upstream {
  readonly settings: UpstreamSettings
  /** Each blob download takes one. */
  readonly places: Places
  /** The remaining pulls that Docker Hub reports (RateLimit-Limit, RateLimit-Remaining). */
  pullsLeft: { limit: number | undefined; remaining: number } | undefined
  private readonly requests: RequestPlaces
  private readonly rate: Rate
  private readonly options: UpstreamOptions
  private readonly endpoints: readonly Endpoint[]
  private readonly allowed: ReturnType<typeof parseRepositoryPattern>[]

  constructor(settings: UpstreamSettings, options: UpstreamOptions) {
    const { monotonic, limits, resolve = systemResolve, environment = process.env } = options
    this.settings = settings
    this.options = options
    this.places = new Places(settings.connections)
    this.requests = new RequestPlaces(options.requestPlaces, monotonic)
    this.rate = new Rate(settings.bytesPerSecond, options)
    this.allowed = settings.repositories.map((pattern) => parseRepositoryPattern(pattern))
    const onAnswer = (headers: Headers) => this.notePullsLeft(headers)
    this.endpoints = settings.urls.map((url, at) => {
      const { redirects, proxy, ca } = settings
      // A mirror is another party, so it never gets the upstream's credentials.
      const credentials = at === 0 ? settings.credentials : {}
      const own = { url, redirects, proxy, ca, credentials }
      return new Endpoint({ ...own, resolve, environment, limits, monotonic, onAnswer })
    })
  }

  /** The namespace of names without one. */
  get namespace(): string | undefined {
    return this.settings.namespace
  }

  get name(): string {
    return this.settings.name
  }

  /** Whether requests can be sent now. */
  get isUp(): boolean {
    return !this.settings.offline && this.endpoints.some(({ breaker }) => !breaker.isOpen)
  }

  /** Whether requests for a repository can be sent now. */
  isUpFor(repository: RepositoryName): boolean {
    const scope = scopeOf(repository.slice(this.name.length + 1))
    return !this.settings.offline && this.endpoints.some(({ breaker }) => !breaker.isOpenFor(scope))
  }

  /** Whether the setting "repositories" lets a repository be requested. */
  allows(repository: RepositoryName): boolean {
    const name = repository.slice(this.name.length + 1) as RepositoryName
    return this.allowed.length === 0 || this.allowed.some((pattern) => matchesPattern(pattern, name))
  }

  /** Returns the endpoints that are not asked for a kind of requests now, because they have limited them (429). */
  limits(kind: LimitedKind): { host: string; leftMs: number }[] {
    return this.endpoints
      .map((endpoint) => ({ host: endpoint.host, leftMs: endpoint.limitedMs(kind) }))
      .filter(({ leftMs }) => leftMs > 0)
  }

  /** Returns a manifest of at most `bytesMax` bytes. */
  async getManifest(
    repository: RepositoryName,
    reference: Reference,
    { bytesMax, ...time }: AnswerTime & { bytesMax: number },
  ): Promise<FetchedManifest> {
    const path = `/v2/${this.nameOf(repository)}/manifests/${formatReference(reference)}`
    return await this.askInTurn(repository, { kind: 'manifest', ...time }, async (send) => {
      const response = await send({ method: 'GET', path, headers: { accept: ACCEPT } })
      const { headers } = response
      const held = this.options.memory.hold()
      try {
        return {
          bytes: await this.read(response, bytesMax, held),
          mediaType: parseContentType(headers.get('content-type') ?? ''),
          digest: tryParseDigest(headers.get('docker-content-digest') ?? ''),
          [Symbol.dispose]: held.release,
        }
      } catch (error) {
        held.release()
        throw error
      }
    })
  }

  /** Returns the digest of a tag; undefined when the upstream refuses HEAD, or does not report the digest. */
  async checkTag(
    repository: RepositoryName,
    reference: Reference,
    time: AnswerTime,
  ): Promise<Digest | undefined> {
    const path = `/v2/${this.nameOf(repository)}/manifests/${formatReference(reference)}`
    return await this.askInTurn(repository, { kind: 'check', ...time }, async (send) => {
      const headers = await headersOf(send, { path, headers: { accept: ACCEPT } })
      return tryParseDigest(headers?.get('docker-content-digest') ?? '')
    })
  }

  /** Returns the size of a blob in bytes; undefined when the upstream has it but does not report its size. */
  async getBlobSize(
    repository: RepositoryName,
    digest: Digest,
    deadlineMs: number,
  ): Promise<number | undefined> {
    const path = `/v2/${this.nameOf(repository)}/blobs/${digest}`
    return await this.askInTurn(repository, { kind: 'blob', deadlineMs }, async (send) => {
      const headers = await headersOf(send, { path })
      const size = headers && lengthOf(headers)
      if (size !== undefined) return size
      const response = await send({ method: 'GET', path })
      discard(response)
      return lengthOf(response.headers)
    })
  }

  /** Opens a blob at an offset. The caller reads the stream, keeps to the rate, and must detect stalls. */
  async getBlob(
    repository: RepositoryName,
    digest: Digest,
    from: number,
    { deadlineMs, avoid = 0, signal }: { deadlineMs: number; avoid?: number; signal?: AbortSignal },
  ): Promise<FetchedBlob> {
    const path = `/v2/${this.nameOf(repository)}/blobs/${digest}`
    const headers = from > 0 ? { range: `bytes=${from}-` } : {}
    return await this.ask(repository, { kind: 'blob', deadlineMs, avoid }, async (send) => {
      const response = await send({ method: 'GET', path, headers, ...(signal && { signal }) })
      const stream = response.body ?? new Blob([]).stream()
      const part =
        response.status === 206 ? partOf(response.headers) : { from: 0, total: lengthOf(response.headers) }
      if (part !== undefined && (part.from === 0 || part.from === from))
        return { ...part, stream, take: (...args) => this.rate.take(...args) }
      stream.cancel().catch(() => {})
      throw new UpstreamError('wrong', `${this.name} sent another range of ${digest} than was requested`)
    })
  }

  /** Returns a page of a list, tags or referrers: a JSON document, and the query of the next page. */
  async getList(
    repository: RepositoryName,
    suffix: string,
    deadlineMs: number,
  ): Promise<{ bytes: Uint8Array; nextQuery: string | undefined }> {
    const path = `/v2/${this.nameOf(repository)}/${suffix}`
    const headers = { accept: `${MEDIA_TYPE.ociIndex}, application/json` }
    return await this.askInTurn(repository, { kind: 'list', deadlineMs }, async (send) => {
      const response = await send({ method: 'GET', path, headers })
      const held = this.options.memory.hold()
      const bytes = await this.read(response, LIST_BYTES_MAX, held).finally(held.release)
      if (hasMoreItems(bytes, LIST_ITEMS_MAX))
        throw new UpstreamError('wrong', `${this.name} sends a list of more than ${LIST_ITEMS_MAX} entries`)
      return { bytes, nextQuery: nextQueryOf(response.headers.get('link') ?? '') }
    })
  }

  /** Checks whether the registry responds and accepts the configured credentials. Never throws. */
  async reach(): Promise<{ reachable: boolean; durationMilliseconds: number; message: string }> {
    const began = performance.now()
    const deadline = new Deadline(REACH_SECONDS_MAX * 1000)
    let message = `${this.name} answers`
    let reachable = false
    try {
      this.throwIfOffline()
      await this.endpoints[0]?.request({ method: 'GET', path: '/v2/', scope: '', signal: deadline.signal })
      reachable = true
    } catch (error) {
      message = (error as Error).message
    } finally {
      deadline.extend(undefined)
    }
    return { reachable, durationMilliseconds: Math.round(performance.now() - began), message }
  }

  /** Closes idle connections. */
  close(): void {
    for (const endpoint of this.endpoints) endpoint.close()
  }

  /** Returns the repository's name at the upstream. */
  private nameOf(repository: RepositoryName): RepositoryName {
    const name = parseRepositoryName(repository.slice(this.name.length + 1))
    if (this.allows(repository)) return name
    throw new UpstreamError(
      'denied',
      `the setting "repositories" of the upstream ${this.name} excludes ${name}`,
    )
  }

  /** Asks when there is a place for the request. Downloads of blobs have their own places. */
  private async askInTurn<T>(
    repository: RepositoryName,
    question: Question,
    work: (send: Send) => Promise<T>,
  ): Promise<T> {
    return await this.requests.run(this.name, question.deadlineMs, (deadlineMs) =>
      this.ask(repository, { ...question, deadlineMs }, work),
    )
  }

  /**
   * Asks the endpoints in order until one has the content. The remaining time is shared among those that have not been
   * asked, so that a silent one leaves time for its mirrors. Throws the first error other than "not found", if there is
   * one.
   */
  private async ask<T>(
    repository: RepositoryName,
    question: Question,
    work: (send: Send) => Promise<T>,
  ): Promise<T> {
    const { kind, avoid = 0 } = question
    const { monotonic, limits, onRequest } = this.options
    const { name, endpoints } = this
    const scope = scopeOf(this.nameOf(repository))
    this.throwIfOffline()
    const began = monotonic()
    const first = avoid % endpoints.length
    const order = [...endpoints.slice(first), ...endpoints.slice(0, first)]
    let failure: UpstreamError | undefined
    for (const [at, endpoint] of order.entries()) {
      const later = order.slice(at + 1).filter((one) => one.canAsk(kind, scope))
      const headersMs = shareOf(question, monotonic() - began, later.length)
      if (headersMs <= 0) break
      try {
        const result = await askOne(endpoint, { kind, scope, headersMs, bodyMs: limits.manifestMs }, work)
        onRequest?.(name, kind, 'ok')
        return result
      } catch (error) {
        if (!(error instanceof UpstreamError)) throw error
        onRequest?.(name, kind, error.kind)
        if (failure === undefined || failure.kind === 'absent') failure = error
      }
    }
    throw failure ?? new UpstreamError('unavailable', `${name} does not answer in time`, { isTimeout: true })
  }

  private throwIfOffline(): void {
    if (this.settings.offline) throw new UpstreamError('unavailable', `${this.name} is set to offline`)
  }

  private async read(response: Response, bytesMax: number, memory: ReturnType<AnswerMemory['hold']>) {
    const { stallMs } = this.options.limits
    return await readBounded(response, { who: this.name, bytesMax, stallMs, memory })
  }

  private notePullsLeft(headers: Headers): void {
    const remaining = Number.parseInt(headers.get('ratelimit-remaining') ?? '', 10)
    if (Number.isNaN(remaining)) return
    const limit = Number.parseInt(headers.get('ratelimit-limit') ?? '', 10)
    this.pullsLeft = { remaining, limit: Number.isNaN(limit) ? undefined : limit }
  }
}

/** Returns how many milliseconds one endpoint has, if `later` others can be asked after it. */
function shareOf(
  { deadlineMs, clientWaitMs = deadlineMs }: Question,
  passedMs: number,
  later: number,
): number {
  const leftMs = deadlineMs - passedMs
  if (later === 0) return leftMs
  const clientLeftMs = Math.min(clientWaitMs, deadlineMs) - passedMs
  return (clientLeftMs > 0 ? clientLeftMs : leftMs) / (later + 1)
}

interface Asked {
  kind: RequestKind
  /** The scope that a token needs. */
  scope: string
  headersMs: number
  /** How long a body may take, unless it is a blob's. */
  bodyMs: number
}

async function askOne<T>(
  endpoint: Endpoint,
  { kind, scope, headersMs, bodyMs }: Asked,
  work: (send: Send) => Promise<T>,
): Promise<T> {
  const deadline = new Deadline(headersMs)
  try {
    return await work(async (asked) => {
      const { signal } = deadline
      const both = asked.signal === undefined ? signal : AbortSignal.any([signal, asked.signal])
      const response = await endpoint.request({ ...asked, kind, scope, signal: both })
      if (asked.method === 'GET') deadline.extend(kind === 'blob' ? undefined : bodyMs)
      return response
    })
  } finally {
    deadline.extend(undefined)
  }
}

/** Returns the headers of a response to HEAD; undefined if the endpoint refuses HEAD. */
async function headersOf(send: Send, asked: Omit<SentRequest, 'method'>): Promise<Headers | undefined> {
  try {
    return (await send({ ...asked, method: 'HEAD' })).headers
  } catch (error) {
    if (mayRefuseHead(error)) return undefined
    throw error
  }
}

/** The scope of a token for pulls (distribution's token specification). */
function scopeOf(name: string): string {
  return `repository:${name}:pull`
}

/** The maximum length of the query of a link to the next page. */
const NEXT_QUERY_LENGTH_MAX = 2048

/**
 * Returns the query of the link to the next page (RFC 8288): some registries have cursors of their own. The rest of the
 * link is ignored, so an upstream cannot lead requests to other places.
 */
function nextQueryOf(link: string): string | undefined {
  const query = /<[^<>?]*\?([^<>#]+)>\s*;[^<>]*\brel="?next"?/i.exec(link)?.[1]
  return query === undefined || query.length > NEXT_QUERY_LENGTH_MAX ? undefined : query
}

/** The current upstreams, by name and by host. */
export class UpstreamSet implements Upstreams {
  private readonly options: UpstreamOptions
  private readonly byName = new Map<string, Upstream>()
  private byHost: ReadonlyMap<string, Upstream> = new Map()

  constructor(options: UpstreamOptions) {
    this.options = options
  }

  find(name: string): Upstream | undefined {
    return this.byName.get(name)
  }

  findByHost(host: string): Upstream | undefined {
    return this.byHost.get(host)
  }

  /** Returns the upstream that a repository is cached from; undefined for a local one. */
  of(repository: RepositoryName): Upstream | undefined {
    if (this.byName.size === 0) return undefined
    const slash = repository.indexOf('/')
    return slash < 0 ? undefined : this.byName.get(repository.slice(0, slash))
  }

  list(): Upstream[] {
    return [...this.byName.values()]
  }

  /** Adds an upstream, or replaces the one of this name. */
  put(settings: UpstreamSettings): Upstream {
    const upstream = new Upstream(settings, this.options)
    this.byName.set(upstream.name, upstream)
    this.indexHosts()
    return upstream
  }

  remove(name: string): void {
    this.byName.delete(name)
    this.indexHosts()
  }

  /** Closes idle connections. */
  close(): void {
    for (const upstream of this.byName.values()) upstream.close()
  }

  /** If two upstreams have the same host, the one added first keeps it. Configured ones are added first. */
  private indexHosts(): void {
    const hosts = this.list().flatMap((upstream) =>
      [upstream.name, upstream.settings.urls[0].host, ...upstream.settings.hosts].map(
        (host): [string, Upstream] => [host, upstream],
      ),
    )
    this.byHost = new Map(hosts.reverse())
  }
}
