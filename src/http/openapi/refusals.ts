import type { OpenAPIV3 } from 'openapi-types'
import { ERROR_CODES, type ErrorCode } from '../../oci/error.ts'
import type { OperationDetail } from '../admin/operation.ts'
import { PROBLEM_TYPE } from '../problem/problem.ts'

/** The errors that any operation may return. */
const ALWAYS: ErrorCode[] = ['UNAUTHORIZED', 'TOOMANYREQUESTS', 'INTERNAL']

/** Further statuses of changes, for which the error table has no text. */
const OF_BODIES = {
  408: 'The body was incomplete or stalled.',
  413: 'The body is too large.',
  415: 'The Content-Type of the body is not application/json.',
  507: "The registry's disk is full.",
}

/** Any operation can also exceed a limit of the whole server. */
const BUSY = 'TOOMANYREQUESTS: the server is busy; Retry-After says when to try again.'

/** Refers to the schema of problems. */
const PROBLEM = { [PROBLEM_TYPE]: { schema: { $ref: '#/components/schemas/Problem' } } }

type Described = OpenAPIV3.OperationObject & Partial<OperationDetail>

/** Returns the responses of an admin operation other than success, from what its `operation` declares. */
export function refusalsOf(operation: Described, method: string): OpenAPIV3.ResponsesObject {
  const { 'x-access': access, 'x-errors': declared = [], 'x-etag': isTagged = false } = operation
  const codes = new Set<ErrorCode>([...ALWAYS, ...declared])
  const isChange = method !== 'get'
  if (access !== 'anybody' || isChange) codes.add('DENIED')
  if (access === 'pull' || access === 'push' || access === 'delete') codes.add('NAME_INVALID')
  if (operation.requestBody || operation.parameters?.length) codes.add('REQUEST_INVALID')
  if (isTagged && isChange) codes.add('PRECONDITION_FAILED')
  const responses: OpenAPIV3.ResponsesObject = {}
  for (const code of codes) {
    const { status, message } = ERROR_CODES[code]
    const before = responses[status] as OpenAPIV3.ResponseObject | undefined
    const description = `${before === undefined ? '' : `${before.description}; `}${code}: ${message}`
    responses[status] = { description, content: PROBLEM }
  }
  const unavailable = responses[503] as OpenAPIV3.ResponseObject | undefined
  const description = unavailable === undefined ? BUSY : `${unavailable.description}; ${BUSY}`
  responses[503] = { description, content: PROBLEM }
  if (isTagged === true && !isChange)
    responses[304] = { description: 'Not modified: If-None-Match matches the entity tag.' }
  if (operation.responses[206])
    responses[416] = { description: 'The range is outside the content.', content: PROBLEM }
  if (isChange) {
    for (const [status, description] of Object.entries(OF_BODIES)) {
      if (operation.requestBody || status === '507') responses[status] = { description, content: PROBLEM }
    }
  }
  return responses
}
