import type { Logger } from 'pino'
import { type Identity, isInScope } from '../../domain/access.ts'
import { registryError } from '../../oci/error.ts'
import type { Metrics } from '../../telemetry/metrics.ts'
import { pathOf, queryOf } from '../distribution/exchange.ts'
import { toErrorResponse } from '../problem/errors.ts'
import { logRequest } from '../request-log.ts'
import { refuse } from './base.ts'
import type { V1Context, V1Target } from './exchange.ts'
import { parseV1Path, V1_PATH_TEMPLATES, type V1Path, type V1PathKind } from './path.ts'
import { V1_ROUTES, type V1Method, type V1Route } from './routes.ts'
import { type SessionOptions, Sessions } from './sessions.ts'

export interface V1Options extends Omit<V1Context, 'sessions'>, SessionOptions {
  metrics: Metrics
  log: Logger
  nextRequestId: () => string
}

/** The one way into /v1: from the path to its row of the table, through the row's access, to the handler. */
export function v1Dispatch(options: V1Options): (request: Request) => Promise<Response> {
  const table = lookup()
  const context = { ...options, sessions: new Sessions(options) }
  return async (request) => {
    const began = performance.now()
    const target = pathOf(request.url)
    const { method } = request
    const requestId = options.nextRequestId()
    let methods: Methods = {}
    let route: V1Route | undefined
    let failure: unknown
    let response: Response
    try {
      const path = parseV1Path(target)
      if (path === undefined) throw registryError('UNSUPPORTED', 'there is no such endpoint', { status: 404 })
      methods = table[path.kind]
      route = methods[method as V1Method]
      if (route === undefined)
        throw registryError('UNSUPPORTED', `${method} is not a method of this endpoint`)
      response = await answer(context, request, path, route, requestId)
    } catch (error) {
      failure = error
      response = toErrorResponse(error, method)
      response.headers.set('cache-control', 'no-store')
      if (response.status === 405) response.headers.set('allow', allowOf(methods))
      if (response.status === 401)
        response.headers.set('www-authenticate', 'Basic realm="cay", charset="UTF-8"')
    }
    response.headers.set('x-request-id', requestId)
    const { status } = response
    options.metrics.meter(`v1 ${route?.id ?? 'none'}`, method).count(status, began)
    logRequest(options.log, { method, path: target, status, route: route?.id, requestId, began, failure })
    return response
  }
}

async function answer(
  context: V1Context,
  request: Request,
  path: V1Path,
  route: V1Route,
  requestId: string,
): Promise<Response> {
  const identity = await context.sessions.authenticate(request)
  const target = targetOf(context, path, route)
  authorise(context, identity, path, route, target)
  const query = queryOf(request.url)
  return await route.handle({ context, request, path, query, identity, target, requestId })
}

type Methods = Partial<Record<V1Method, V1Route>>

type Table = Record<V1PathKind, Methods>

function lookup(): Table {
  const kinds = Object.keys(V1_PATH_TEMPLATES) as V1PathKind[]
  const table = Object.fromEntries(kinds.map((kind) => [kind, {}])) as Table
  for (const row of V1_ROUTES) {
    for (const method of row.methods) table[row.path][method] = row as V1Route
  }
  return table
}

/**
 * What the path is about. An image is looked for first, as its id alone tells of which repository it is; nobody can make
 * up an id that is found.
 */
function targetOf(context: V1Context, path: V1Path, { access }: V1Route): V1Target {
  if ('name' in path) return { repository: path.name, image: undefined }
  const image = access === 'pull' && 'id' in path ? context.images.find(path.id) : undefined
  if (image !== undefined) return { repository: image.repository, image }
  if (access === 'pull') throw registryError('MANIFEST_UNKNOWN', 'there is no image of this id')
  return { repository: '' as V1Target['repository'], image }
}

/** Throws UNAUTHORIZED while another credential could help, DENIED when the account may not. */
function authorise(
  { access }: V1Context,
  identity: Identity,
  path: V1Path,
  route: V1Route,
  { repository }: V1Target,
): void {
  const { account, token, limits } = identity
  const refusal = (detail: object) =>
    registryError(account === undefined ? 'UNAUTHORIZED' : 'DENIED', undefined, { detail })
  switch (route.access) {
    case 'anybody':
      return
    case 'catalog':
      // Clients that get an empty list look no further; refused, they sign in, or ask the catalog of /v2.
      if (account === undefined && identity.granted.isEmpty && !access.isOpen) {
        throw registryError('UNAUTHORIZED')
      }
      return
    case 'account':
      if (account === undefined && !access.isOpen) throw registryError('UNAUTHORIZED')
      return
    case 'self': {
      const isWhole = token === undefined && limits.length === 0
      if (account === undefined || !isWhole || !('account' in path) || path.account !== account) {
        throw refusal({ account: 'account' in path ? path.account : undefined })
      }
      return
    }
    case 'pull':
      if (!access.may(identity, 'pull', repository)) throw refusal({ action: 'pull' })
      if (!isInScope(identity, 'pull', repository)) {
        throw registryError('UNAUTHORIZED', 'the token, or the cookie, is for another repository')
      }
  }
}

/** The methods that do something; those of pushes are in the table to be refused. Empty where there is none (RFC 9110, 10.2.1). */
function allowOf(methods: Methods): string {
  return Object.entries(methods)
    .flatMap(([method, { handle }]) => (handle === refuse ? [] : [method]))
    .join(', ')
}
