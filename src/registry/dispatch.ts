import { LRUCache } from 'lru-cache'
import type { Logger } from 'pino'
import {
  type Access,
  type Action,
  type Authentication,
  type Caller,
  decide,
  decideCatalog,
  deedOf,
  denial,
  type Identity,
} from '../access/access.ts'
import type { AccountServices } from '../accounts/accounts.ts'
import type { Bodies, BodyReader, BodySource } from '../http/body.ts'
import type { ApiServices } from '../http/controller.ts'
import type { Noted } from '../http/request-log.ts'
import { type Matched, queryOf, type TableRow, tableDispatch } from '../http/route-table.ts'
import { type RegistryError, registryError } from '../oci/error.ts'
import {
  type Digest,
  parseDigest,
  parseReference,
  parseRepositoryName,
  type Reference,
  type RepositoryName,
} from '../oci/reference.ts'
import type { Metrics } from '../runtime/metrics.ts'
import type { ManifestPulls } from './pulls.ts'
import { type Origin, type Registry, repositoryOf, type Upstream } from './registry.ts'

export interface V2Options {
  access: Access
  accounts: { audit: Pick<AccountServices['audit'], 'noteRefusal'> }
  /** The upstream that this listener mirrors; undefined on the main listener. */
  mirrorOf: Upstream | undefined
  routes: readonly Row[]
  content: Pick<ApiServices, 'registry' | 'pulls' | 'upstreams'>
  limits: V2Limits
  metrics: Metrics
  log: Logger
  authenticate: (request: Request) => Identity | Promise<Identity>
  addressOf: (request: Request) => string
  bodies: Bodies
  sourceOf: (request: Request, address: string) => BodySource
  beforeLarge: (request: Request, bytes: number) => Promise<void>
  /** Returns the scheme and host that the client used to reach this registry. */
  originOf: (request: Request) => string
  tokens: Authentication['tokens']
  nextRequestId: () => string
  onBlobBody: (bytes: number, isFile: boolean) => void
  /** Reports whether to hide `/v2/` from the client, so that it falls back to `/v1/`. */
  isForV1: (request: Request) => boolean
}

/** Handles everything under /v2: finds the row of the path, checks access, and calls the handler. */
export function v2Dispatch(given: V2Options): (request: Request) => Promise<Response> {
  const options = { ...given, pushes: new PushMeter() }
  return tableDispatch<V2Path, Route>({
    ...options,
    headers: { 'docker-distribution-api-version': 'registry/2.0' },
    rows: options.routes as readonly Route[],
    parse: parsePath,
    answer: (matched) => answer(options, matched),
    refuse(response, request, path, route) {
      if (response.status === 401) {
        const error = response.headers.get('www-authenticate')
        const where = challenge(options, request, path, route)
        response.headers.set('www-authenticate', error === null ? where : `${where},${error}`)
      }
    },
  })
}

interface Dispatching extends V2Options {
  pushes: PushMeter
}

/** Does not wait if the identity is already known, so that a pull takes no extra turn of the event loop. */
function answer(options: Dispatching, matched: Matched<V2Path, Route>): Response | Promise<Response> {
  const { request, path } = matched
  if (path.kind === 'base' && options.isForV1(request))
    throw registryError('UNSUPPORTED', 'Docker before 1.6 must use /v1/ here', { status: 404 })
  const query = queryOf(request.url)
  const repository = resolve(options, request, path, query)
  const identity = options.authenticate(request)
  return identity instanceof Promise
    ? identity.then((one) => handle(options, matched, query, repository, one))
    : handle(options, matched, query, repository, identity)
}

function handle(
  options: Dispatching,
  { request, path, row, requestId, noted }: Matched<V2Path, Route>,
  query: URLSearchParams,
  repository: RepositoryName | undefined,
  identity: Identity,
): Response | Promise<Response> {
  if ('name' in path && repository === undefined) throw unknownRepository(query, path.name)
  noted.account = identity.account
  const addressOf = () => {
    noted.address ??= options.addressOf(request)
    return noted.address
  }
  const exchange: Exchange = {
    request,
    path,
    registry: options.content.registry,
    pulls: options.content.pulls,
    // Handlers of paths without a name do not read the repository.
    repository: repository ?? ('' as RepositoryName),
    query,
    identity,
    caller: () => ({
      account: identity.account,
      credential: identity.credential,
      address: addressOf(),
      requestId,
    }),
    limits: options.limits,
    bodies: options.bodies.manifests,
    source: () => options.sourceOf(request, addressOf()),
    beforeLarge: (bytes) => options.beforeLarge(request, bytes),
    traffic: options.metrics.traffic,
    noted,
    pushes: options.pushes,
    onBlobBody: options.onBlobBody,
  }
  authorise(options, exchange, row)
  const ns = repository === undefined ? null : query.get('ns')
  return ns === null ? row.handle(exchange) : withNamespace(row.handle(exchange), ns)
}

async function withNamespace(answered: Response | Promise<Response>, ns: string): Promise<Response> {
  const response = await answered
  response.headers.set('oci-namespace', ns)
  return response
}

/** Returns the challenge, which says where to get a token and for which scope (Docker's token protocol). */
function challenge(
  options: V2Options,
  request: Request,
  path: V2Path | undefined,
  route: Route | undefined,
): string {
  const query = queryOf(request.url)
  const repository = path && resolve(options, request, path, query)
  const scope = scopeOf(route?.access, repository, query)
  const realm = `Bearer realm="${options.originOf(request)}/token",service="${options.tokens.service}"`
  return scope === '' ? realm : `${realm},scope="${scope}"`
}

/** Returns the full name of the path's repository; undefined for a path without one. */
function resolve(
  options: V2Options,
  request: Request,
  path: V2Path,
  query: URLSearchParams,
): RepositoryName | undefined {
  if (!('name' in path)) return undefined
  const origin: Origin = {
    mirrorOf: options.mirrorOf,
    isOwnHost: (host) =>
      host === request.headers.get('host') || host === new URL(options.originOf(request)).host,
  }
  return repositoryOf(options.content.upstreams, origin, path.name, query.get('ns') ?? undefined)
}

function unknownRepository(query: URLSearchParams, name: RepositoryName) {
  const ns = query.get('ns')
  const message = ns
    ? `ns=${ns} is neither this registry nor one of its upstreams`
    : `${name} is an upstream, not a repository: append a repository name`
  return registryError('NAME_UNKNOWN', message)
}

/**
 * Throws unless the identity has the access that the row needs: UNAUTHORIZED if another credential or a token with more
 * scope could help, DENIED if not. Runs before any lookup, so the response does not reveal what exists.
 */
function authorise(
  { access, accounts, mirrorOf }: V2Options,
  exchange: Exchange,
  { access: needed }: Route,
): void {
  const { identity, repository } = exchange
  if (needed === 'base') {
    const isAnonymous = identity.account === undefined && identity.token === undefined
    if (isAnonymous && !access.isOpen && mirrorOf === undefined) throw registryError('UNAUTHORIZED')
    return
  }
  if (needed === 'catalog') {
    const decision = decideCatalog(access, identity)
    if (decision === 'allowed') return
    throw decision === 'out-of-scope' ? insufficientScope() : registryError('UNAUTHORIZED')
  }
  const decision = decide(access, identity, needed, repository)
  if (decision === 'allowed') return
  if (decision === 'out-of-scope') throw insufficientScope()
  // Docker's engine retries endlessly on an error without a detail.
  const detail = { action: needed }
  if (mirrorOf !== undefined) throw registryError('DENIED', notMirrored(mirrorOf, repository), { detail })
  if (decision === 'unauthenticated') throw registryError('UNAUTHORIZED', undefined, { detail })
  accounts.audit.noteRefusal(exchange.caller(), deedOf(needed, repository))
  const reason = denial(identity, needed, repository)
  throw registryError('DENIED', reason, {
    detail,
    ...(isLookup(exchange) && { status: 404 }),
    ...(readsChallenge(exchange.request) && inChallenge(reason)),
  })
}

/** A mirror never asks for credentials: Docker would send the user's password for the upstream. */
function notMirrored({ name }: Upstream, repository: RepositoryName): string {
  return (
    `this mirror of ${name} serves what anonymous may pull, and ${repository} is not granted: ` +
    `cay grant create anonymous '${name}/**' reader`
  )
}

/**
 * Reports whether a client asks by digest whether content exists, as helm and oras do before a push. A response to
 * HEAD has no room for a reason, and with 403 they would stop there. With 404 they push, and the denial of the push
 * says what is missing.
 */
function isLookup({ request: { method }, path }: Exchange): boolean {
  if (method !== 'HEAD') return false
  return path.kind === 'blob' || (path.kind === 'manifest' && path.reference.digest !== undefined)
}

/** Reports whether the client uses containerd's library, as Kubernetes and BuildKit do. It cannot repeat a PUT. */
function readsChallenge({ method, headers }: Request): boolean {
  return method !== 'PUT' && /^(?:containerd|buildkit|nerdctl)\//.test(headers.get('user-agent') ?? '')
}

/**
 * Puts a reason into the challenge (RFC 6750, 3), because containerd shows neither the body of an error nor anything of a
 * response to HEAD. It gets another token, and shows the reason when the same request fails again.
 */
function inChallenge(reason: string) {
  return { status: 401, headers: { 'www-authenticate': `error="${reason}"` } }
}

/** Returns the scope for the challenge: the one that a token needs for this request. */
function scopeOf(access: RouteAccess | undefined, name: string | undefined, query: URLSearchParams): string {
  if (access === 'catalog') return 'registry:catalog:*'
  if (access === undefined || access === 'base' || name === undefined) return ''
  const actions = { pull: 'pull', push: 'pull,push', delete: 'pull,push,delete' }[access]
  const from = query.get('mount') === null ? null : query.get('from')
  const source = from === null || !/^[a-z0-9._/-]{1,255}$/.test(from) ? '' : ` repository:${from}:pull`
  return `repository:${name}:${actions}${source}`
}

function insufficientScope(): RegistryError {
  return registryError('UNAUTHORIZED', "the token's scope does not include this action", {
    detail: { error: 'insufficient_scope' },
    // For the challenge (RFC 6750, 3): podman then asks for another token.
    headers: { 'www-authenticate': 'error="insufficient_scope"' },
  })
}

export type Method = 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'

/** The access that a row needs: an action on the path's repository, an identity, or the catalog. */
type RouteAccess = Action | 'base' | 'catalog'

/** A row of the table of endpoints. */
export type Row = { [K in PathKind]: Route<K> }[PathKind]

export interface Route<K extends PathKind = PathKind> extends TableRow {
  methods: Method[]
  path: K
  access: RouteAccess
  handle: (exchange: Exchange<K>) => Response | Promise<Response>
}

/** A request, as its handler sees it. */
export interface Exchange<K extends PathKind = PathKind> {
  request: Request
  path: Extract<V2Path, { kind: K }>
  registry: Registry
  /** Manifests in a format that the client can read. */
  pulls: ManifestPulls
  /** The repository's full name; `path.name` is what the client sent. */
  repository: RepositoryName
  query: URLSearchParams
  /** The caller's identity, for access checks. */
  identity: Identity
  /** Returns the caller as writes record it. */
  caller(): Caller
  limits: V2Limits
  /** Reads manifest bodies. */
  bodies: BodyReader
  /** Returns what readers of the body need to know of the request. */
  source(): BodySource
  /** Waits before a large manifest is read. Throws if the client has left, or if too much is being sent. */
  beforeLarge(bytes: number): Promise<void>
  /** What the log says about the request. */
  noted: Noted
  /** Measures pushes for the log. */
  pushes: PushMeter
  /** Counts bytes of manifests; handlers add to it. */
  traffic: { received: number; sent: number }
  /** Called for each blob body that is sent, with its size in bytes and whether it is sent from a file. */
  onBlobBody: (bytes: number, isFile: boolean) => void
}

export interface V2Limits {
  manifestBytesMax: number
  /** Maximum entries of a page of tags or repositories. */
  pageMax: number
  /** Maximum tags of a push by digest. */
  tagsPerPushMax: number
}

/** A parsed and validated path under /v2. */
export type V2Path =
  | { kind: 'base' }
  | { kind: 'catalog' }
  | { kind: 'blob'; name: RepositoryName; digest: Digest }
  | { kind: 'manifest'; name: RepositoryName; reference: Reference }
  | { kind: 'uploads'; name: RepositoryName }
  | { kind: 'upload'; name: RepositoryName; id: string }
  | { kind: 'tags'; name: RepositoryName }
  | { kind: 'referrers'; name: RepositoryName; digest: Digest }

export type PathKind = V2Path['kind']

/**
 * Parses the path of a request, without its query. Names can have slashes and any word as a component, so the path is
 * parsed from its end. Returns undefined if no row serves the path; throws NAME_INVALID, DIGEST_INVALID or
 * MANIFEST_INVALID if a part of it is invalid.
 */
export function parsePath(path: string): V2Path | undefined {
  if (path === '/v2' || path === '/v2/') return { kind: 'base' }
  if (path === '/v2/_catalog') return { kind: 'catalog' }
  if (!path.startsWith('/v2/')) return undefined
  const rest = path.slice('/v2/'.length)
  const uploads = rest.endsWith('/') ? '/blobs/uploads/' : '/blobs/uploads'
  if (rest.endsWith(uploads)) {
    return { kind: 'uploads', name: parseRepositoryName(rest.slice(0, -uploads.length)) }
  }
  const slash = rest.lastIndexOf('/')
  const before = rest.lastIndexOf('/', slash - 1)
  if (before <= 0) return undefined
  // Some clients percent-encode the colon of a digest. No other character of a path is ever encoded.
  const last = rest.slice(slash + 1).replace(/%3a/i, ':')
  return parseTail(rest.slice(0, before), rest.slice(before + 1, slash), last)
}

function parseTail(head: string, noun: string, last: string): V2Path | undefined {
  switch (noun) {
    case 'manifests':
      return { kind: 'manifest', name: parseRepositoryName(head), reference: parseReference(last) }
    case 'blobs':
      return { kind: 'blob', name: parseRepositoryName(head), digest: parseDigest(last) }
    case 'referrers':
      return { kind: 'referrers', name: parseRepositoryName(head), digest: parseDigest(last) }
    case 'tags':
      return last === 'list' ? { kind: 'tags', name: parseRepositoryName(head) } : undefined
    case 'uploads': {
      if (!head.endsWith('/blobs')) return undefined
      return { kind: 'upload', name: parseRepositoryName(head.slice(0, -'/blobs'.length)), id: last }
    }
    default:
      return undefined
  }
}

/** How many pushes are measured at once, and how long one can be idle. */
const PUSHES_MAX = 4096
const IDLE_MS = 3_600_000

/** A push, as far as the server can see it. */
export interface MeasuredPush {
  /** Bytes of the blobs that were uploaded for it. Blobs that the registry already had are not uploaded. */
  bytes: number
  /** When its first upload began, from performance.now(). */
  began: number
}

/** Measures pushes for the log: from the first upload of a client to a repository until its manifest. */
export class PushMeter {
  private readonly pushes = new LRUCache<string, MeasuredPush>({ max: PUSHES_MAX, ttl: IDLE_MS })

  /** Counts an upload that began, or the bytes of one that was completed. */
  count(caller: Caller, repository: RepositoryName, bytes = 0): void {
    const key = keyOf(caller, repository)
    const { began, bytes: before } = this.pushes.get(key) ?? { bytes: 0, began: performance.now() }
    this.pushes.set(key, { began, bytes: before + bytes })
  }

  /** Returns the push that a manifest completes. Undefined if nothing was uploaded for it. */
  take(caller: Caller, repository: RepositoryName): MeasuredPush | undefined {
    const key = keyOf(caller, repository)
    const push = this.pushes.get(key)
    this.pushes.delete(key)
    return push
  }
}

function keyOf({ account = '', address }: Caller, repository: RepositoryName): string {
  return `${account}\n${address}\n${repository}`
}
