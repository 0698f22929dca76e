import { Elysia, ValidationError } from 'elysia'
import type { Logger } from 'pino'
import { ERROR_CODES, RegistryError, registryError } from '../../oci/error.ts'
import { pathOf } from '../distribution/exchange.ts'
import { type ExpectedSchema, expectationOf } from './expectation.ts'
import { toProblemResponse } from './problem.ts'

/**
 * The answers for whatever the ordinary controllers throw. To be used first: an error handler further down never sees
 * what those before it throw.
 */
export function errors(log: Logger, nextRequestId: () => string) {
  return new Elysia({ name: 'errors' }).onError({ as: 'global' }, ({ error, request, path, set }) => {
    const known = fromElysia(error)
    const requestId = String(set.headers['x-request-id'] ?? nextRequestId())
    if (known.status >= 500) log.error({ requestId, cause: known.cause ?? known }, 'request failed')
    const response = answerOf(known, request.method, path)
    set.headers['x-request-id'] = requestId
    response.headers.set('x-request-id', requestId)
    if (known.status === 401 && (path.startsWith('/api/') || path === '/metrics'))
      response.headers.set('www-authenticate', challenge(request.headers))
    set.status = known.status
    return response
  })
}

/** The answer to a request that no surface has seen. */
export function answerFor(error: RegistryError, { method, url }: Request): Response {
  return answerOf(error, method, pathOf(url))
}

/** The error in the form that the clients of the path know. */
function answerOf(error: RegistryError, method: string, path: string): Response {
  return isDistribution(path) ? toErrorResponse(error, method) : toProblemResponse(error, method)
}

/** A script of a page has its own form to sign in: with Basic the browser would ask, too. */
function challenge(headers: Headers): string {
  const mode = headers.get('sec-fetch-mode') ?? 'navigate'
  return mode === 'navigate' ? 'Basic realm="cay", charset="UTF-8"' : 'Bearer realm="cay"'
}

/** Whether clients of the distribution-spec, or of Docker, read the answer: they know another form of errors. */
function isDistribution(path: string): boolean {
  return /^\/(?:v1|v2|token)(?:\/|$)/.test(path)
}

/**
 * The answer for anything thrown: what the client is told, in the specification's form. What is not the project's
 * own error is INTERNAL: its cause is for the log. HEAD answers have no body.
 */
export function toErrorResponse(error: unknown, method: string): Response {
  const known = toRegistryError(error)
  const headers = { ...known.headers, 'content-type': 'application/json' }
  if (method === 'HEAD') return new Response(null, { status: known.status, headers })
  return new Response(JSON.stringify({ errors: known.entries }), { status: known.status, headers })
}

/** What was thrown, as the project's own error. */
export function toRegistryError(error: unknown): RegistryError {
  if (error instanceof RegistryError) return error
  if (isClientGone(error)) {
    return registryError('BLOB_UPLOAD_INVALID', 'the request broke off', { status: 400, cause: error })
  }
  return registryError('INTERNAL', ERROR_CODES.INTERNAL.message, { cause: error })
}

/** Whether the client closed its connection in the middle of its request. */
export function isClientGone(error: unknown): boolean {
  return error instanceof Error && error.name === 'AbortError'
}

/** What the framework throws, as the project's own error: a request that breaks its schema, or has no route. */
function fromElysia(error: unknown): RegistryError {
  if (error instanceof ValidationError && error.type !== 'response') {
    return registryError('REQUEST_INVALID', explain(error))
  }
  switch ((error as { code?: unknown }).code) {
    case 'NOT_FOUND':
      return registryError('NOT_FOUND', 'there is no such page')
    case 'PARSE':
      if (error instanceof Error && error.cause instanceof RegistryError) return error.cause
      return registryError('REQUEST_INVALID', 'the body is not what its Content-Type says')
    default:
      return toRegistryError(error)
  }
}

/** The first thing that is wrong, by its place; never its value, which may be a password. */
function explain({ type, valueError }: ValidationError): string {
  const path = valueError?.path.slice(1).replaceAll('/', '.') ?? ''
  return `${type}${path === '' ? '' : ` ${path}`}: ${faultOf(valueError)}`
}

function faultOf(fault: ValidationError['valueError']): string {
  if (fault !== undefined && fault.value === undefined) return 'is missing'
  const expected = fault && expectationOf(fault.schema as ExpectedSchema)
  return expected === undefined ? 'is not as the API describes it' : `expected ${expected}`
}
