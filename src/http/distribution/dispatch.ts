import type { Logger } from 'pino'
import type { Identity } from '../../domain/access/access.ts'
import type { Authentication } from '../../domain/access/authentication.ts'
import { type Origin, repositoryOf } from '../../domain/address.ts'
import { registryError } from '../../oci/error.ts'
import type { RepositoryName } from '../../oci/reference.ts'
import type { Metrics } from '../../telemetry/metrics.ts'
import type { ApiServices } from '../admin/services.ts'
import type { Noted } from '../noted.ts'
import type { Bodies } from '../request/bodies.ts'
import type { BodySource } from '../request/body-reader.ts'
import { type Matched, tableDispatch } from '../route-table.ts'
import { type Authorising, authorise, scopeOf } from './authorise.ts'
import { type Exchange, queryOf, type V2Limits } from './exchange.ts'
import { parsePath, type V2Path } from './path.ts'
import { PushMeter } from './push-meter.ts'
import type { Route, routes } from './routes.ts'

export interface V2Options extends Authorising {
  routes: ReturnType<typeof routes>
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
  if (path.kind === 'base' && options.isForV1(request)) throw pullByV1()
  const query = queryOf(request.url)
  const asked = { query, repository: resolve(options, request, path, query) }
  const identity = options.authenticate(request)
  return identity instanceof Promise
    ? identity.then((one) => handle(options, matched, asked, one))
    : handle(options, matched, asked, identity)
}

function handle(
  options: Dispatching,
  { request, path, row, requestId, noted }: Matched<V2Path, Route>,
  { repository, query }: Pick<Asked, 'repository' | 'query'>,
  identity: Identity,
): Response | Promise<Response> {
  if ('name' in path && repository === undefined) throw unknownRepository(request, path.name)
  noted.account = identity.account
  const exchange = exchangeOf(options, request, { path, repository, query, identity, requestId, noted })
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

interface Asked {
  path: V2Path
  repository: RepositoryName | undefined
  query: URLSearchParams
  identity: Identity
  requestId: string
  noted: Noted
}

function exchangeOf(
  options: Dispatching,
  request: Request,
  { path, repository, query, identity, requestId, noted }: Asked,
): Exchange {
  const addressOf = () => {
    noted.address ??= options.addressOf(request)
    return noted.address
  }
  return {
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

function unknownRepository(request: Request, name: RepositoryName) {
  const ns = queryOf(request.url).get('ns')
  const message = ns
    ? `ns=${ns} is neither this registry nor one of its upstreams`
    : `${name} is an upstream, not a repository: append a repository name`
  return registryError('NAME_UNKNOWN', message)
}

function pullByV1() {
  return registryError('UNSUPPORTED', 'Docker before 1.6 must use /v1/ here', { status: 404 })
}
