import { Elysia } from 'elysia'
import type { Logger } from 'pino'
import { networkOf } from '../access/access.ts'
import { RegistryError } from '../oci/error.ts'
import { LineLimit } from '../runtime/log.ts'
import type { Metrics } from '../runtime/metrics.ts'
import type { Answering } from './operation.ts'
import { isClientGone, toRegistryError } from './problem.ts'

/** Paths, errors and user agents, which can repeat what a client sent, are cut to these lengths. */
const CHARACTERS_MAX = 1000
const CLIENT_CHARACTERS_MAX = 200

/** Statuses of a busy server and of a full one, which one client can cause again and again. */
const BUSY = [503, 507]

export interface Handled {
  method: string
  path: string
  status: number
  /** The id of the row that handled the request. */
  route: string | undefined
  requestId: string
  /** From performance.now(). */
  began: number
  failure: unknown
  deed: Deed | undefined
  account: string | undefined
  address: () => string
  /** The User-Agent. */
  client: string | null
}

interface RequestLogOptions {
  log: Logger
  nextRequestId: () => string
  addressOf: (request: Request) => string
  metrics?: Metrics
}

/** Sets the request id of each response and logs the request, for Elysia controllers. */
export function requestLog({ log, nextRequestId, addressOf, metrics }: RequestLogOptions) {
  const logRequest = requestLogger(log)
  // After the response, the address is no longer known.
  const noteAddress = (request: Request, set: object): void => {
    Object.assign(set, { address: addressOf(request) })
  }
  return new Elysia({ name: 'request-log' })
    .onParse({ as: 'scoped' }, ({ request, set }) => noteAddress(request, set))
    .derive({ as: 'scoped' }, ({ request, set }) => {
      set.headers['x-request-id'] = nextRequestId()
      noteAddress(request, set)
      return { began: performance.now() }
    })
    .onAfterResponse({ as: 'scoped' }, ({ request, route, path, set, began = performance.now() }) => {
      const { method } = request
      const status = typeof set.status === 'number' ? set.status : 200
      // A request that cannot be parsed never reaches the derivation above. Its id was set with its error.
      const requestId = String(set.headers['x-request-id'])
      metrics?.meter(route || 'none', method).count(status, began)
      const { account, address = '', failure } = set as Answering
      logRequest({
        method,
        path,
        status,
        route: undefined,
        requestId,
        began,
        failure,
        deed: deedOf(method, path),
        account,
        address: () => address,
        client: request.headers.get('user-agent'),
      })
    })
}

/** Returns what a request to the admin API does. Sign-ins are logged when the password is checked. */
function deedOf(method: string, path: string): Deed | undefined {
  if (isRead(method) || !path.startsWith('/api/') || path === '/api/v1/session') return undefined
  return { act: method === 'DELETE' ? 'deleted' : 'changed' }
}

/**
 * Returns a function that logs requests: server errors at error; at info what was pushed, deleted, changed or refused; and
 * everything else at debug. Lines about refusals and about a busy server are limited for each client.
 */
export function requestLogger(log: Logger): (handled: Handled) => void {
  const limit = new LineLimit()
  return (handled) => {
    const { status, deed } = handled
    if (status >= 500) {
      const omitted = BUSY.includes(status) ? limit.admit(networkOf(handled.address())) : {}
      if (omitted) return log.error({ ...lineOf(handled), ...omitted }, 'request')
    }
    if (!log.isLevelEnabled('info')) return
    if (status < 400) {
      if (deed !== undefined) logDeed(log, handled, deed)
    } else if (status < 500 && isRefusal(handled)) {
      const omitted = limit.admit(networkOf(handled.address()))
      if (omitted) return log.info({ ...lineOf(handled), ...omitted }, 'refused')
    }
    if (log.isLevelEnabled('debug')) log.debug(lineOf(handled), 'request')
  }
}

function logDeed(log: Logger, handled: Handled, { act, began = handled.began, ...deed }: Deed): void {
  const { method, path, requestId } = handled
  // A change by the API is named by its path.
  const target = act !== 'pushed' && deed.repository === undefined ? { method, path: cut(path) } : deed
  log.info({ ...target, ...whoOf(handled), milliseconds: since(began), requestId }, act)
}

/**
 * Reports whether a request was refused by a rule that an administrator may want to know of. A client without a
 * credential is only asked for one, and wrong credentials are logged as failed sign-ins.
 */
function isRefusal({ method, status, failure }: Handled): boolean {
  // Some clients are denied with 401, because only that shows them the reason.
  const isDenied = failure instanceof RegistryError && failure.entries[0]?.code === 'DENIED'
  if (status === 403 || status === 429 || isDenied) return true
  return !isRead(method) && ![401, 404, 412, 416].includes(status) && !isClientGone(failure)
}

function isRead(method: string): boolean {
  return method === 'GET' || method === 'HEAD'
}

function lineOf(handled: Handled) {
  const { method, path, status, route, requestId, began, failure } = handled
  const request = { method, path: cut(path), status, route, requestId, milliseconds: since(began) }
  if (failure === undefined) return { ...request, ...whoOf(handled) }
  const { message, cause } = toRegistryError(failure)
  return { ...request, ...whoOf(handled), error: cut(message), ...(cause !== undefined && { cause }) }
}

function whoOf({ account, address, client }: Handled) {
  return { account, address: address(), client: client?.slice(0, CLIENT_CHARACTERS_MAX) }
}

function since(began: number): number {
  return Math.round((performance.now() - began) * 10) / 10
}

function cut(text: string): string {
  return text.length > CHARACTERS_MAX ? `${text.slice(0, CHARACTERS_MAX)}...` : text
}

/** Returns a generator of request ids, which are cheap and unique across restarts. */
export function requestIds(): () => string {
  const prefix = crypto.randomUUID().slice(0, 8)
  let count = 0
  return () => `${prefix}-${(++count).toString(36)}`
}

/** What the log says about a request besides its result: who sent it, and what it did. */
export interface Noted {
  account?: string | undefined
  /** The client's address, if it was looked up already. It is cached because each lookup is a system call. */
  address?: string
  deed?: Deed
}

/** What a successful request did. */
export interface Deed {
  act: 'pushed' | 'deleted' | 'changed'
  repository?: string
  tags?: readonly string[]
  digest?: string
  /** Uploaded bytes. */
  bytes?: number
  /** When it began, if before the request: from performance.now(). */
  began?: number
}
