import { matchesPattern, parseRepositoryPattern } from '../../access/patterns.ts'
import type { UpstreamSettings } from '../../config/upstreams.ts'
import { type Digest, tryParseDigest } from '../../oci/digest.ts'
import { hasMoreItems } from '../../oci/json.ts'
import { MEDIA_TYPE, parseContentType } from '../../oci/media-type.ts'
import {
  formatReference,
  parseRepositoryName,
  type Reference,
  type RepositoryName,
} from '../../oci/reference.ts'
import type { Upstreams } from '../../registry/registry.ts'
import { lengthOf, Places, partOf, Rate } from '../pace.ts'
import { type AnswerMemory, type HeldAnswer, readBounded } from './body.ts'
import { RequestPlaces } from './connections.ts'
import { discard, type LimitedKind } from './endpoint.ts'
import {
  type AnswerTime,
  Endpoints,
  type EndpointsOptions,
  type Limit,
  type Question,
  type Send,
  type SentRequest,
} from './endpoints.ts'
import { mayRefuseHead, UpstreamError } from './failure.ts'

export interface UpstreamOptions extends Omit<EndpointsOptions, 'onAnswer'> {
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

/** The remaining pulls that Docker Hub reports (RateLimit-Limit, RateLimit-Remaining). */
export interface PullsLeft {
  limit: number | undefined
  remaining: number
}

/** A page of a list. */
export interface UpstreamList {
  /** A JSON document. */
  bytes: Uint8Array
  /** The query of the next page. */
  nextQuery: string | undefined
}

const ACCEPT = Object.values(MEDIA_TYPE).join(', ')

/** The largest page of tags or referrers, in bytes. */
const LIST_BYTES_MAX = 4 * 1024 * 1024

/** The maximum members and entries of one page. This many are parsed in about 10 ms. */
const LIST_ITEMS_MAX = 50_000

/** A registry whose content is cached. Its responses are unverified, and failures are UpstreamErrors. */
export class Upstream {
  readonly settings: UpstreamSettings
  /** Each blob download takes one. */
  readonly places: Places
  private readonly requests: RequestPlaces
  private readonly rate: Rate
  pullsLeft: PullsLeft | undefined
  private readonly options: UpstreamOptions
  private readonly endpoints: Endpoints
  private readonly allowed: ReturnType<typeof parseRepositoryPattern>[]

  constructor(settings: UpstreamSettings, options: UpstreamOptions) {
    this.settings = settings
    this.options = options
    this.places = new Places(settings.connections)
    this.requests = new RequestPlaces(options.requestPlaces, options.monotonic)
    this.rate = new Rate(settings.bytesPerSecond, options)
    this.allowed = settings.repositories.map((pattern) => parseRepositoryPattern(pattern))
    const onAnswer = (headers: Headers) => this.notePullsLeft(headers)
    this.endpoints = new Endpoints(settings, { ...options, onAnswer })
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
    return this.endpoints.isUp
  }

  /** Whether requests for a repository can be sent now. */
  isUpFor(repository: RepositoryName): boolean {
    return this.endpoints.isUpFor(scopeOf(repository.slice(this.name.length + 1)))
  }

  /** Whether the setting "repositories" lets a repository be requested. */
  allows(repository: RepositoryName): boolean {
    const name = repository.slice(this.name.length + 1) as RepositoryName
    return this.allowed.length === 0 || this.allowed.some((pattern) => matchesPattern(pattern, name))
  }

  /** Returns the endpoints that are not asked for a kind of requests, because they have limited them (429). */
  limits(kind: LimitedKind): Limit[] {
    return this.endpoints.limits(kind)
  }

  /** Returns a manifest of at most `bytesMax` bytes. */
  async getManifest(
    repository: RepositoryName,
    reference: Reference,
    { bytesMax, ...time }: AnswerTime & { bytesMax: number },
  ): Promise<FetchedManifest> {
    const path = `/v2/${this.nameOf(repository)}/manifests/${formatReference(reference)}`
    return await this.ask(repository, { kind: 'manifest', ...time }, async (send) => {
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
    return await this.ask(repository, { kind: 'check', ...time }, async (send) => {
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
    return await this.ask(repository, { kind: 'blob', deadlineMs }, async (send) => {
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
    const question: Question = { kind: 'blob', scope: this.scopeOf(repository), deadlineMs, avoid }
    return await this.endpoints.ask(question, async (send) => {
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

  /** Returns a page of a list, tags or referrers. */
  async getList(repository: RepositoryName, suffix: string, deadlineMs: number): Promise<UpstreamList> {
    const path = `/v2/${this.nameOf(repository)}/${suffix}`
    return await this.ask(repository, { kind: 'list', deadlineMs }, async (send) => {
      const response = await send({
        method: 'GET',
        path,
        headers: { accept: `${MEDIA_TYPE.ociIndex}, application/json` },
      })
      const held = this.options.memory.hold()
      const reading = this.read(response, LIST_BYTES_MAX, held)
      const bytes = await reading.finally(held.release)
      if (hasMoreItems(bytes, LIST_ITEMS_MAX))
        throw new UpstreamError('wrong', `${this.name} sends a list of more than ${LIST_ITEMS_MAX} entries`)
      return { bytes, nextQuery: nextQueryOf(response.headers.get('link') ?? '') }
    })
  }

  /** Checks whether the registry responds and accepts the configured credentials. Never throws. */
  async reach(): Promise<{ isReached: boolean; milliseconds: number; message: string }> {
    const began = performance.now()
    let message = `${this.name} answers`
    let isReached = false
    try {
      await this.endpoints.reach()
      isReached = true
    } catch (error) {
      message = (error as Error).message
    }
    return { isReached, milliseconds: Math.round(performance.now() - began), message }
  }

  /** Closes idle connections. */
  close(): void {
    this.endpoints.close()
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

  private async ask<T>(
    repository: RepositoryName,
    question: Omit<Question, 'scope'>,
    work: (send: Send) => Promise<T>,
  ): Promise<T> {
    const scope = this.scopeOf(repository)
    return await this.requests.run(this.name, question.deadlineMs, (deadlineMs) =>
      this.endpoints.ask({ ...question, scope, deadlineMs }, work),
    )
  }

  private scopeOf(repository: RepositoryName): string {
    return scopeOf(this.nameOf(repository))
  }

  private async read(response: Response, bytesMax: number, memory: HeldAnswer) {
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
