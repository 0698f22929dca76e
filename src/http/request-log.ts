import { Elysia } from 'elysia'
import type { Logger } from 'pino'
import type { Metrics } from '../telemetry/metrics.ts'
import { isClientGone, toRegistryError } from './problem/errors.ts'

export interface Handled {
  method: string
  path: string
  status: number
  /** The id of the row that handled it. */
  route: string | undefined
  requestId: string
  /** As performance.now(). */
  began: number
  failure: unknown
}

/** The request's id in each answer, and its line in the log, for the surfaces that are ordinary controllers. */
export function requestLog(log: Logger, nextRequestId: () => string, metrics?: Metrics) {
  return new Elysia({ name: 'request-log' })
    .derive({ as: 'scoped' }, ({ set }) => {
      set.headers['x-request-id'] = nextRequestId()
      return { began: performance.now() }
    })
    .onAfterResponse(
      { as: 'scoped' },
      ({ request: { method }, route, path, set, began = performance.now() }) => {
        const status = typeof set.status === 'number' ? set.status : 200
        // What cannot be parsed has not come as far as the derivation above: its id is the one of its error.
        const requestId = String(set.headers['x-request-id'])
        metrics?.meter(route || 'none', method).count(status, began)
        logRequest(log, { method, path, status, route: undefined, requestId, began, failure: undefined })
      },
    )
}

/** One line a request: reads and what clients ask for in vain at debug, changes at info, our own failures at error. */
export function logRequest(log: Logger, { began, failure, ...handled }: Handled): void {
  const level = levelOf(handled.method, handled.status, failure)
  if (!log.isLevelEnabled(level)) return
  const milliseconds = Math.round((performance.now() - began) * 10) / 10
  log[level]({ ...handled, milliseconds, ...causeOf(failure) }, 'request')
}

function levelOf(method: string, status: number, failure: unknown): 'debug' | 'info' | 'error' {
  if (status >= 500) return 'error'
  if (isClientGone(failure)) return 'info'
  return method === 'GET' || method === 'HEAD' ? 'debug' : 'info'
}

function causeOf(failure: unknown) {
  if (failure === undefined) return {}
  const known = toRegistryError(failure)
  return { error: known.message, ...(known.cause === undefined ? {} : { cause: known.cause }) }
}

/** Ids that are unique over restarts, and cheap. */
export function requestIds(): () => string {
  const prefix = crypto.randomUUID().slice(0, 8)
  let count = 0
  return () => `${prefix}-${(++count).toString(36)}`
}
