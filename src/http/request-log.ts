import type { Logger } from 'pino'
import { isClientGone, toRegistryError } from './errors.ts'
import { pathOf } from './v2/exchange.ts'

export interface Handled {
  request: Request
  response: Response
  /** The id of the row that handled it. */
  route: string | undefined
  requestId: string
  /** As performance.now(). */
  began: number
  failure: unknown
}

/** One line a request: reads and what clients ask for in vain at debug, changes at info, our own failures at error. */
export function logRequest(log: Logger, handled: Handled): void {
  const { status } = handled.response
  const level = levelOf(handled.request.method, status, handled.failure)
  if (!log.isLevelEnabled(level)) return
  log[level](
    {
      requestId: handled.requestId,
      route: handled.route,
      method: handled.request.method,
      path: pathOf(handled.request.url),
      status,
      milliseconds: Math.round((performance.now() - handled.began) * 10) / 10,
      ...causeOf(handled.failure),
    },
    'request',
  )
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
