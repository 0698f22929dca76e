import type { Logger } from 'pino'
import type { Identity } from '../access/access.ts'
import { decide, decideCatalog, deedOf, denial } from '../access/decision.ts'
import { type Matched, queryOf, tableDispatch } from '../http/route-table.ts'
import { registryError } from '../oci/error.ts'
import type { Metrics } from '../runtime/metrics.ts'
import {
  parseV1Path,
  refuse,
  type SessionOptions,
  Sessions,
  type V1Context,
  type V1Path,
  type V1Target,
} from './exchange.ts'
import { V1_ROUTES, type V1Route } from './routes.ts'

export interface V1Options extends Omit<V1Context, 'sessions'>, SessionOptions {
  metrics: Metrics
  log: Logger
  nextRequestId: () => string
}

/** Handles everything under /v1: finds the row of the path, checks access, and calls the handler. */
export function v1Dispatch(options: V1Options): (request: Request) => Promise<Response> {
  const context = { ...options, sessions: new Sessions(options) }
  return tableDispatch<V1Path, V1Route>({
    ...options,
    rows: V1_ROUTES as readonly V1Route[],
    parse: parseV1Path,
    answer: (matched) => answer(context, matched),
    refuse(response, _request, path) {
      response.headers.set('cache-control', 'no-store')
      if (response.status === 405 && path !== undefined) {
        response.headers.set('allow', allowedOn(path).join(', '))
      }
      if (response.status === 401)
        response.headers.set('www-authenticate', 'Basic realm="cay", charset="UTF-8"')
    },
  })
}

async function answer(context: V1Context, matched: Matched<V1Path, V1Route>): Promise<Response> {
  const { request, path, row, requestId, noted } = matched
  const identity = await context.sessions.authenticate(request)
  noted.account = identity.account
  const target = await targetOf(context, path, row)
  authorise(context, identity, matched, target)
  const query = queryOf(request.url)
  return await row.handle({ context, request, path, query, identity, target, requestId })
}

/**
 * Finds what the path refers to. An image is looked up before the access check, because only its id says which
 * repository it belongs to. Ids cannot be guessed.
 */
async function targetOf(context: V1Context, path: V1Path, { access }: V1Route): Promise<V1Target> {
  if ('name' in path) return { repository: path.name, image: undefined }
  const image = access === 'pull' && 'id' in path ? await context.images.find(path.id) : undefined
  if (image !== undefined) return { repository: image.repository, image }
  if (access === 'pull') throw registryError('MANIFEST_UNKNOWN', 'image not found')
  return { repository: '' as V1Target['repository'], image }
}

/** Throws UNAUTHORIZED if another credential could help, DENIED if not. */
function authorise(
  { accounts, access, addressOf }: V1Context,
  identity: Identity,
  { request, path, row: route, requestId }: Matched<V1Path, V1Route>,
  { repository }: V1Target,
): void {
  const { account, token, limits } = identity
  const refusal = (detail: object) =>
    registryError(account === undefined ? 'UNAUTHORIZED' : 'DENIED', undefined, { detail })
  switch (route.access) {
    case 'anybody':
      return
    case 'catalog':
      // Clients accept an empty list as the result. When denied, they sign in or try the catalog of /v2.
      if (decideCatalog(access, { ...identity, token: undefined }) !== 'allowed')
        throw registryError('UNAUTHORIZED')
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
    case 'pull': {
      const decision = decide(access, identity, 'pull', repository)
      if (decision === 'allowed') return
      if (decision === 'out-of-scope')
        throw registryError('UNAUTHORIZED', 'the token or cookie is for another repository')
      if (decision === 'unauthenticated') throw refusal({ action: 'pull' })
      const caller = { account, credential: identity.credential, address: addressOf(request), requestId }
      accounts.audit.noteRefusal(caller, deedOf('pull', repository))
      throw registryError('DENIED', denial(identity, 'pull', repository), { detail: { action: 'pull' } })
    }
  }
}

/** Returns the methods that are not refused; may be empty (RFC 9110, 10.2.1). */
function allowedOn({ kind }: V1Path): string[] {
  const rows = V1_ROUTES.filter(({ path, handle }) => path === kind && handle !== refuse)
  return rows.flatMap(({ methods }) => methods)
}
