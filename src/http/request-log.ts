import { Elysia } from 'elysia'
import type { Logger } from 'pino'
import type { Metrics } from '../telemetry/metrics.ts'
import { isClientGone, toRegistryError } from './problem/errors.ts'

/** Paths and errors, which can repeat what a client sent, are cut to this length. */
const CHARACTERS_MAX = 1000

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
}

/** Sets the request id of each response and logs the request, for Elysia controllers. */
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
        // A request that cannot be parsed never reaches the derivation above. Its id was set with its error.
        const requestId = String(set.headers['x-request-id'])
        metrics?.meter(route || 'none', method).count(status, began)
        logRequest(log, { method, path, status, route: undefined, requestId, began, failure: undefined })
      },
    )
}

/** Logs one line per request: reads at debug, changes at info, server errors at error. */
export function logRequest(log: Logger, { began, failure, path, ...handled }: Handled): void {
  const level = levelOf(handled.method, handled.status, failure)
  if (!log.isLevelEnabled(level)) return
  const milliseconds = Math.round((performance.now() - began) * 10) / 10
  log[level]({ ...handled, path: cut(path), milliseconds, ...causeOf(failure) }, 'request')
}

function levelOf(method: string, status: number, failure: unknown): 'debug' | 'info' | 'error' {
  if (status >= 500) return 'error'
  if (isClientGone(failure)) return 'info'
  return method === 'GET' || method === 'HEAD' ? 'debug' : 'info'
}

function causeOf(failure: unknown) {
  if (failure === undefined) return {}
  const known = toRegistryError(failure)
  return { error: cut(known.message), ...(known.cause === undefined ? {} : { cause: known.cause }) }
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
