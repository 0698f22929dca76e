import type { Logger } from 'pino'
import type { ManifestPulls } from '../../core/pulls/manifest-pulls.ts'
import type { Identity } from '../../domain/access.ts'
import { type Origin, repositoryOf, type Upstream, type Upstreams } from '../../domain/address.ts'
import type { Registry } from '../../domain/registry.ts'
import { registryError } from '../../oci/error.ts'
import type { RepositoryName } from '../../oci/reference.ts'
import type { Metrics } from '../../telemetry/metrics.ts'
import type { Bodies } from '../request/bodies.ts'
import type { BodySource } from '../request/body-reader.ts'
import { type Matched, tableDispatch } from '../route-table.ts'
import { scopeOf } from './authorise.ts'
import { type Exchange, queryOf, type V2Limits } from './exchange.ts'
import { parsePath, type V2Path } from './path.ts'
import type { Route, routes } from './routes.ts'

export interface V2Options {
  routes: ReturnType<typeof routes>
  registry: Registry
  pulls: ManifestPulls
  /** Throws UNAUTHORIZED or DENIED unless the exchange may do what the row asks for. */
  authorise: (exchange: Exchange, route: Route) => void
  limits: V2Limits
  metrics: Metrics
  log: Logger
  upstreams: Upstreams
  /** The upstream that this listener mirrors; undefined on the main listener. */
  mirrorOf: Upstream | undefined
  authenticate: (request: Request) => Identity | Promise<Identity>
  addressOf: (request: Request) => string
  bodies: Bodies
  sourceOf: (request: Request) => BodySource
  /** The scheme and host by which the client reaches this registry. */
  originOf: (request: Request) => string
  /** What tokens are for: a constant of the installation. */
  service: string
  nextRequestId: () => string
  onBlobBody: (bytes: number, isFile: boolean) => void
  /** Whether the client is to find no `/v2/`, so that it comes to `/v1/`. */
  isForV1: (request: Request) => boolean
}

/** The one way into /v2: from the path to its row of the table, through the questions of access, to the handler. */
export function v2Dispatch(options: V2Options): (request: Request) => Promise<Response> {
  return tableDispatch<V2Path, Route>({
    ...options,
    label: '',
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

/** Waits for nothing where who asks is known at once: a pull should cost no turn of the loop more than it needs. */
function answer(options: V2Options, matched: Matched<V2Path, Route>): Response | Promise<Response> {
  const { request, path } = matched
  if (path.kind === 'base' && options.isForV1(request)) throw pullByV1()
  const repository = resolve(options, request, path)
  const identity = options.authenticate(request)
  return identity instanceof Promise
    ? identity.then((one) => handle(options, matched, repository, one))
    : handle(options, matched, repository, identity)
}

function handle(
  options: V2Options,
  { request, path, row, requestId }: Matched<V2Path, Route>,
  repository: RepositoryName | undefined,
  identity: Identity,
): Response | Promise<Response> {
  if ('name' in path && repository === undefined) throw unknownRepository(request, path.name)
  const exchange = exchangeOf(options, request, { path, repository, identity, requestId })
  options.authorise(exchange, row)
  const ns = repository === undefined ? null : exchange.query.get('ns')
  return ns === null ? row.handle(exchange) : withNamespace(row.handle(exchange), ns)
}

async function withNamespace(answered: Response | Promise<Response>, ns: string): Promise<Response> {
  const response = await answered
  response.headers.set('oci-namespace', ns)
  return response
}

/** Where a client gets a token, and for what (Docker's token protocol). */
function challenge(
  options: V2Options,
  request: Request,
  path: V2Path | undefined,
  route: Route | undefined,
): string {
  const repository = path && resolve(options, request, path)
  const scope = scopeOf(route?.access, repository, queryOf(request.url))
  const realm = `Bearer realm="${options.originOf(request)}/token",service="${options.service}"`
  return scope === '' ? realm : `${realm},scope="${scope}"`
}

interface Asked {
  path: V2Path
  repository: RepositoryName | undefined
  identity: Identity
  requestId: string
}

function exchangeOf(
  options: V2Options,
  request: Request,
  { path, repository, identity, requestId }: Asked,
): Exchange {
  return {
    request,
    path,
    registry: options.registry,
    pulls: options.pulls,
    // Paths without a name have no repository, and their handlers do not read it.
    repository: repository ?? ('' as RepositoryName),
    query: queryOf(request.url),
    identity,
    caller: () => ({
      account: identity.account,
      credential: identity.credential,
      address: options.addressOf(request),
      requestId,
    }),
    limits: options.limits,
    bodies: options.bodies.manifests,
    source: () => options.sourceOf(request),
    traffic: options.metrics.traffic,
    onBlobBody: options.onBlobBody,
  }
}

/** The repository that the path addresses by its full name, or undefined if there can be none. */
function resolve(options: V2Options, request: Request, path: V2Path): RepositoryName | undefined {
  if (!('name' in path)) return undefined
  const origin: Origin = {
    mirrorOf: options.mirrorOf,
    isOwnHost: (host) =>
      host === request.headers.get('host') || host === new URL(options.originOf(request)).host,
  }
  return repositoryOf(options.upstreams, origin, path.name, queryOf(request.url).get('ns') ?? undefined)
}

function unknownRepository(request: Request, name: RepositoryName) {
  const ns = queryOf(request.url).get('ns')
  const message = ns
    ? `ns=${ns} names neither this registry nor an upstream of it`
    : `${name} is an upstream, not a repository: add the name of a repository to it`
  return registryError('NAME_UNKNOWN', message)
}

function pullByV1() {
  return registryError('UNSUPPORTED', 'Docker before 1.6 pulls by /v1/ here', { status: 404 })
}
