import type { Logger } from 'pino'
import { registryError } from '../oci/error.ts'
import type { Metrics, RequestMeter } from '../runtime/metrics.ts'
import { pathOf } from './origin.ts'
import { toErrorResponse } from './problem.ts'
import { type Noted, requestLogger } from './request-log.ts'

/** A row of a route table. */
export interface TableRow {
  /** Names the operation, as in `v2GetManifest`. See operationIdOf. */
  id: string
  methods: readonly string[]
  /** The kind of path that the row serves. */
  path: string
}

/** A request with the row that serves it. */
export interface Matched<P, R> {
  request: Request
  path: P
  row: R
  requestId: string
  /** What the log says about the request. Its handler fills it. */
  noted: Noted
}

export interface TableOptions<P extends { kind: string }, R extends TableRow> {
  rows: readonly R[]
  /** Parses a path without its query. Returns undefined if no row serves it; throws if it is invalid. */
  parse(path: string): P | undefined
  /** Authenticates, authorizes and handles a request. */
  answer(matched: Matched<P, R>): Response | Promise<Response>
  /** Completes an error response. The path and the row may be unknown. */
  refuse(response: Response, request: Request, path: P | undefined, row: R | undefined): void
  /** Headers of every response. */
  headers?: Record<string, string>
  metrics: Metrics
  log: Logger
  nextRequestId: () => string
  addressOf: (request: Request) => string
}

/** Dispatches requests whose paths do not fit a router: finds the row of each request, counts it and logs it. */
export function tableDispatch<P extends { kind: string }, R extends TableRow>(options: TableOptions<P, R>) {
  const { metrics } = options
  const headers = Object.entries(options.headers ?? {})
  const table = lookup(options.rows, metrics)
  const logRequest = requestLogger(options.log)
  const other = metrics.meter('none', 'other')
  return async (request: Request): Promise<Response> => {
    const began = performance.now()
    const target = pathOf(request.url)
    const { method } = request
    const requestId = options.nextRequestId()
    const noted: Noted = {}
    let path: P | undefined
    let found: Found<R> | undefined
    let failure: unknown
    let response: Response
    try {
      path = options.parse(target)
      if (path === undefined) throw registryError('UNSUPPORTED', 'no such endpoint', { status: 404 })
      // A mirror listener has no rows for some kinds of path.
      const rows = table.get(path.kind)
      found = rows?.get(method)
      if (found === undefined) throw notAllowed(method, [...(rows?.keys() ?? [])])
      response = await options.answer({ request, path, row: found.row, requestId, noted })
    } catch (error) {
      failure = error
      response = toErrorResponse(error, method)
      options.refuse(response, request, path, found?.row)
    }
    response.headers.set('x-request-id', requestId)
    for (const [name, value] of headers) response.headers.set(name, value)
    const { status } = response
    const meter = found?.meter ?? other
    meter.count(status, began)
    logRequest({
      method,
      path: target,
      status,
      route: found?.operationId,
      requestId,
      began,
      failure,
      account: noted.account,
      deed: noted.deed,
      address: () => noted.address ?? options.addressOf(request),
      client: request.headers.get('user-agent'),
    })
    return response
  }
}

/** A row with the id and the meter of the operation. */
interface Found<R> {
  row: R
  operationId: string
  meter: RequestMeter
}

/** Indexes the rows by kind of path and method. */
function lookup<R extends TableRow>(rows: readonly R[], metrics: Metrics) {
  const table = new Map<string, Map<string, Found<R>>>()
  for (const row of rows) {
    const methods = table.get(row.path) ?? new Map<string, Found<R>>()
    for (const method of row.methods) {
      const operationId = operationIdOf(row, method)
      methods.set(method, { row, operationId, meter: metrics.meter(operationId, method) })
    }
    table.set(row.path, methods)
  }
  return table
}

/**
 * Returns the id of an operation: the id of its row, with `Head` as the verb for HEAD requests (`v2HeadManifest`). It is
 * the operation id in the OpenAPI document, the label `route` of metrics, and the field `route` of the log.
 */
export function operationIdOf({ id }: TableRow, method: string): string {
  return method === 'HEAD' ? id.replace(/^(v[12])[A-Z][a-z]+/, '$1Head') : id
}

function notAllowed(method: string, allowed: string[]) {
  return registryError('UNSUPPORTED', `method ${method} is not allowed here`, {
    headers: { allow: allowed.join(', ') },
  })
}

/** Returns the query of a URL. An empty query costs nothing. */
export function queryOf(url: string): URLSearchParams {
  const at = url.indexOf('?')
  return at < 0 ? EMPTY : new URLSearchParams(url.slice(at + 1))
}

const EMPTY: URLSearchParams = new URLSearchParams()
