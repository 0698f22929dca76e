import { Elysia, t, ValidationError } from 'elysia'
import type { Logger } from 'pino'
import { ERROR_CODES, type ErrorCode, RegistryError, registryError } from '../oci/error.ts'
import { pathOf } from './origin.ts'

/**
 * Turns everything that the Elysia controllers throw into a response. Mount it before them: an error handler sees only
 * what the plugins mounted after it throw.
 */
export function errors(log: Logger, nextRequestId: () => string) {
  return new Elysia({ name: 'errors' }).onError({ as: 'global' }, ({ error, request, path, set }) => {
    const known = fromElysia(error, request)
    const requestId = String(set.headers['x-request-id'] ?? nextRequestId())
    // The request log has the others.
    if (known.status === 500) log.error({ requestId, cause: known.cause ?? known }, 'request failed')
    const response = answerOf(known, request.method, path)
    set.headers['x-request-id'] = requestId
    response.headers.set('x-request-id', requestId)
    if (known.status === 401 && (path.startsWith('/api/') || path === '/metrics'))
      response.headers.set('www-authenticate', challenge(request.headers))
    set.status = known.status
    // For the line of the request log.
    Object.assign(set, { failure: known })
    return response
  })
}

/** Returns the error response for a request that reached no route. */
export function answerFor(error: RegistryError, { method, url }: Request): Response {
  return answerOf(error, method, pathOf(url))
}

/** Formats the error as the clients of this path expect it: those of distribution and Docker APIs by the specification. */
function answerOf(error: RegistryError, method: string, path: string): Response {
  const isDistribution = /^\/(?:v1|v2|token)(?:\/|$)/.test(path)
  return isDistribution ? toErrorResponse(error, method) : toProblemResponse(error, method)
}

/** Returns Basic only for navigations: on a script's request, Basic would make the browser open its login dialog. */
function challenge(headers: Headers): string {
  const mode = headers.get('sec-fetch-mode') ?? 'navigate'
  return mode === 'navigate' ? 'Basic realm="cay", charset="UTF-8"' : 'Bearer realm="cay"'
}

/**
 * Returns the response for anything thrown, in the specification's format. Anything but a RegistryError becomes
 * INTERNAL, and its cause is only logged. HEAD responses have no body.
 */
export function toErrorResponse(error: unknown, method: string): Response {
  const { status, headers, entries } = toRegistryError(error)
  const body = method === 'HEAD' ? null : JSON.stringify({ errors: entries })
  return new Response(body, { status, headers: { ...headers, 'content-type': 'application/json' } })
}

/** Converts anything thrown to a RegistryError. */
export function toRegistryError(error: unknown): RegistryError {
  if (error instanceof RegistryError) return error
  if (isClientGone(error)) {
    const message = 'the client closed the connection before the request was complete'
    return registryError('BLOB_UPLOAD_INVALID', message, { status: 400, cause: error })
  }
  return registryError('INTERNAL', ERROR_CODES.INTERNAL.message, { cause: error })
}

/** Reports whether the client closed its connection during the request. */
export function isClientGone(error: unknown): boolean {
  return error instanceof Error && error.name === 'AbortError'
}

/** Converts an error of Elysia: the request does not match its schema, or has no route. */
function fromElysia(error: unknown, { url }: Request): RegistryError {
  if (error instanceof ValidationError && error.type !== 'response') {
    return registryError('REQUEST_INVALID', explain(error, url))
  }
  switch ((error as { code?: unknown }).code) {
    case 'NOT_FOUND':
      return registryError('NOT_FOUND', 'no such endpoint')
    case 'PARSE':
      if (error instanceof Error && error.cause instanceof RegistryError) return error.cause
      return registryError('REQUEST_INVALID', 'the body does not match its Content-Type')
    default:
      return toRegistryError(error)
  }
}

/** Describes the first invalid value by its JSON path. Never includes the value, which may be a password. */
function explain({ type, valueError }: ValidationError, url: string): string {
  const path = jsonPathOf(valueError?.path ?? '') || parameterWith(url, valueError?.value) || `the ${type}`
  return `${path}: ${faultOf(valueError)}`
}

/** Returns the name of the query parameter with this value, because Elysia reports numbers out of range without one. */
function parameterWith(url: string, wanted: unknown): string {
  if (typeof wanted === 'object') return ''
  const found = [...new URL(url).searchParams].find(([, value]) => value === String(wanted))
  return found?.[0] ?? ''
}

/** Converts a JSON pointer (RFC 6901) to the way that programs write it: `/scope/0/role` is `scope[0].role`. */
function jsonPathOf(pointer: string): string {
  const parts = pointer.split('/').slice(1)
  const names = parts.map((part) => (/^\d+$/.test(part) ? `[${part}]` : `.${part}`))
  return names.join('').replace(/^\./, '')
}

function faultOf(fault: ValidationError['valueError']): string {
  if (fault !== undefined && fault.value === undefined) return 'is missing'
  if (fault?.schema.not !== undefined) return 'is not known here: remove it'
  const expected = fault && expectationOf(fault.schema as ExpectedSchema)
  return expected === undefined ? 'is invalid' : `expected ${expected}`
}

/** The part of a JSON Schema that `expectationOf` describes. */
export interface ExpectedSchema {
  type?: string
  description?: string
  enum?: readonly unknown[]
  anyOf?: readonly ExpectedSchema[]
  format?: string
  pattern?: string
  minLength?: number
  maxLength?: number
  minimum?: number
  maximum?: number
  maxItems?: number
}

/** Describes what a schema accepts, such as `a whole number from 1 to 9`; undefined if it has no description. */
export function expectationOf(schema: ExpectedSchema): string | undefined {
  if (schema.enum) return either(schema.enum.map(String))
  // Elysia adds a string alternative for numbers and booleans in queries. It is left out here.
  const forms = schema.anyOf?.filter(({ type, format }) => type !== 'string' || format === undefined)
  if (forms) return eitherKnown(forms.map(expectationOf))
  const { type, minimum, maximum, minLength, maxLength, maxItems } = schema
  switch (type) {
    case 'null':
      return type
    case 'boolean':
      return 'true or false'
    case 'integer':
      return `a whole number${range(minimum, maximum)}`
    case 'array':
      return maxItems === undefined ? 'a list' : `a list of at most ${maxItems}`
    case 'string':
      return [form(schema), lengths(minLength, maxLength)].filter(Boolean).join('; ') || 'text'
    default:
      return undefined
  }
}

/** Describes a string's format; undefined if any string is valid. */
function form({ format, pattern, description = '' }: ExpectedSchema): string | undefined {
  if (format === 'date-time') return 'a time such as 2026-01-31T12:00:00Z'
  if (pattern === undefined) return undefined
  return description.replace(/^[A-Z](?=[a-z])/, (letter) => letter.toLowerCase())
}

function lengths(minLength?: number, maxLength?: number): string | undefined {
  if (minLength === undefined && maxLength === undefined) return undefined
  if (maxLength === undefined) return minLength === 1 ? 'not empty' : `at least ${minLength} characters`
  return minLength === undefined
    ? `at most ${maxLength} characters`
    : `${minLength} to ${maxLength} characters`
}

function range(minimum?: number, maximum?: number): string {
  if (maximum === undefined) return minimum === undefined ? '' : ` of at least ${minimum}`
  return minimum === undefined ? ` of at most ${maximum}` : ` from ${minimum} to ${maximum}`
}

function eitherKnown(words: (string | undefined)[]): string | undefined {
  const known = words.filter((word) => word !== undefined)
  return known.length < words.length || known.length === 0 ? undefined : either([...new Set(known)])
}

/** Joins words as `a, b or c`. */
function either(words: string[]): string {
  return [words.slice(0, -1).join(', '), ...words.slice(-1)].filter(Boolean).join(' or ')
}

/** The Content-Type of a problem (RFC 9457, 3). */
export const PROBLEM_TYPE = 'application/problem+json'

const code = t.UnionEnum(Object.keys(ERROR_CODES) as [ErrorCode, ...ErrorCode[]], { default: undefined })

/** The error format of the JSON APIs (RFC 9457, 3.1). */
export const Problem = t.Object(
  {
    type: t.String({ format: 'uri-reference', description: 'The documentation of this code' }),
    title: t.String({ description: 'What the code means; the same for every occurrence' }),
    status: t.Integer({ minimum: 400, maximum: 599 }),
    detail: t.String({ description: 'What went wrong this time, and what to do about it' }),
    code,
    errors: t.Optional(
      t.Array(t.Object({ code, detail: t.String() }), { description: 'All errors, if there are several' }),
    ),
  },
  {
    description: 'What went wrong, and what to do about it',
    example: {
      type: '/problems/not-found',
      title: ERROR_CODES.NOT_FOUND.message,
      status: 404,
      detail: 'user alice not found',
      code: 'NOT_FOUND',
    },
  },
)

/** Returns the path of a code's documentation. */
function problemPath(code: ErrorCode): string {
  return `/problems/${code.toLowerCase().replaceAll('_', '-')}`
}

/** Returns the response for an error. HEAD responses have no body. */
function toProblemResponse({ entries, status, headers }: RegistryError, method: string): Response {
  const { message } = entries[0] ?? ERROR_CODES.INTERNAL
  // The distribution-spec has no code for failed conditions.
  const code = status === 412 ? 'PRECONDITION_FAILED' : (entries[0]?.code ?? 'INTERNAL')
  const several = entries.map((entry) => ({ code: entry.code, detail: entry.message }))
  const problem = {
    type: problemPath(code),
    title: ERROR_CODES[code].message,
    status,
    detail: message,
    code,
    ...(several.length > 1 && { errors: several }),
  }
  return new Response(method === 'HEAD' ? null : JSON.stringify(problem), {
    status,
    headers: { ...headers, 'content-type': PROBLEM_TYPE, 'cache-control': 'no-store' },
  })
}

/** GET /problems and /problems/:code: every error code. A problem's `type` points here (RFC 9457, 3.1.1). */
export function problems() {
  const { type, title, status, code } = Problem.properties
  const Code = t.Object({ type, title, status, code }, { description: 'An error code' })
  const items = (Object.keys(ERROR_CODES) as ErrorCode[]).map((code) => {
    const { message, status } = ERROR_CODES[code]
    return { type: problemPath(code), title: message, status, code }
  })
  return new Elysia({ name: 'problems', prefix: '/problems', tags: ['problems'] })
    .get('', () => ({ items }), {
      response: { 200: t.Object({ items: t.Array(Code) }, { description: 'All error codes' }) },
      detail: { summary: 'List error codes', operationId: 'listProblems', security: [{}] },
    })
    .get(
      '/:code',
      ({ params: { code } }) => {
        const found = items.find(({ type }) => type.endsWith(`/${code}`))
        if (found === undefined) throw registryError('NOT_FOUND', 'no such error code')
        return found
      },
      {
        params: t.Object({ code: t.String({ maxLength: 64, example: 'not-found' }) }),
        response: { 200: Code },
        detail: { summary: 'Show an error code', operationId: 'getProblem', security: [{}] },
      },
    )
}
