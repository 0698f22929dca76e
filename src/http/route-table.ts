import type { Logger } from 'pino'
import { registryError } from '../oci/error.ts'
import type { Metrics, RequestMeter } from '../telemetry/metrics.ts'
import { pathOf } from './distribution/exchange.ts'
import { toErrorResponse } from './problem/errors.ts'
import { logRequest } from './request-log.ts'

/** One row of a table of routes: also the metric's label, the log's field, and the entry in the OpenAPI page. */
export interface TableRow {
  id: string
  methods: readonly string[]
  /** The kind of path that it serves. */
  path: string
  summary: string
  /** The statuses of success and refusal, with what they say. */
  answers: Record<number, string>
}

/** A request for which the table has a row. */
export interface Matched<P, R> {
  request: Request
  path: P
  row: R
  requestId: string
}

export interface TableOptions<P extends { kind: string }, R extends TableRow> {
  rows: readonly R[]
  /** Parses a path without its query. Answers undefined for a path of no row; throws for a malformed one. */
  parse(path: string): P | undefined
  /** Authenticates, authorises and handles a request. */
  answer(matched: Matched<P, R>): Response | Promise<Response>
  /** Completes the answer to a request that failed, of which the path and the row may be unknown. */
  refuse(response: Response, request: Request, path: P | undefined, row: R | undefined): void
  /** What the Allow header names of the rows of a path. */
  allow?(rows: R[]): string[]
  /** What every answer has. */
  headers?: Record<string, string>
  /** Put before the ids of rows in the metrics. */
  label: string
  metrics: Metrics
  log: Logger
  nextRequestId: () => string
}

/** The way into a surface whose paths no router fits: finds the row of each request, counts it and logs it. */
export function tableDispatch<P extends { kind: string }, R extends TableRow>(options: TableOptions<P, R>) {
  const { label, metrics, allow = methodsOf } = options
  const headers = Object.entries(options.headers ?? {})
  const table = lookup(options.rows, metrics, label)
  const other = metrics.meter(`${label}none`, 'other')
  return async (request: Request): Promise<Response> => {
    const began = performance.now()
    const target = pathOf(request.url)
    const { method } = request
    const requestId = options.nextRequestId()
    let path: P | undefined
    let found: Found<R> | undefined
    let failure: unknown
    let response: Response
    try {
      path = options.parse(target)
      if (path === undefined) throw registryError('UNSUPPORTED', 'there is no such endpoint', { status: 404 })
      // A mirror has no rows for some kinds of path.
      const rows = table.get(path.kind)
      found = rows?.get(method)
      if (found === undefined) {
        throw notAllowed(method, allow([...(rows?.values() ?? [])].map(({ row }) => row)))
      }
      response = await options.answer({ request, path, row: found.row, requestId })
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
    const route = found?.row.id
    logRequest(options.log, { method, path: target, status, route, requestId, began, failure })
    return response
  }
}

/** A row of the table, with what counts its requests. */
interface Found<R> {
  row: R
  meter: RequestMeter
}

/** The rows by the kind of their path and their method. */
function lookup<R extends TableRow>(rows: readonly R[], metrics: Metrics, label: string) {
  const table = new Map<string, Map<string, Found<R>>>()
  for (const row of rows) {
    const methods = table.get(row.path) ?? new Map<string, Found<R>>()
    for (const method of row.methods)
      methods.set(method, { row, meter: metrics.meter(`${label}${row.id}`, method) })
    table.set(row.path, methods)
  }
  return table
}

function methodsOf(rows: TableRow[]): string[] {
  return rows.flatMap(({ methods }) => methods)
}

function notAllowed(method: string, allowed: string[]) {
  return registryError('UNSUPPORTED', `${method} is not a method of this endpoint`, {
    headers: { allow: [...new Set(allowed)].join(', ') },
  })
}
