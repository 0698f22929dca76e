import type { TSchema } from 'elysia'
import { type AccessRule, enforce, type Principal } from '../../domain/principal.ts'
import type { ErrorCode } from '../../oci/error.ts'
import { isKnown } from '../request/conditions.ts'
import { refuseForeign } from '../session-cookie.ts'
import type { Answering } from './context.ts'

export interface Operation<T extends TSchema> {
  /** The `operationId` in the OpenAPI document. Generated clients name their functions after it. */
  id: string
  summary: string
  /** Who may call it. */
  access: AccessRule
  /** The schema of the 200 response. */
  answer: T
  /** The errors it can return, besides those of every operation: unauthenticated, denied, invalid request. */
  errors?: ErrorCode[]
  /**
   * For a GET: responses carry an entity tag, set by `tagged`. For a change: it supports If-Match and If-None-Match.
   * `partial`: some fields change without the tag (counters, expiring tags), so a GET is never answered with 304.
   */
  etag?: boolean | 'partial'
  /** What the summary does not say. */
  description?: string
  /** The media type of the response, if it is not JSON. */
  mediaType?: string
}

/** What the OpenAPI document needs of an operation besides its schemas. */
export interface OperationDetail {
  operationId: string
  summary: string
  description?: string
  'x-access': AccessRule
  'x-errors': ErrorCode[]
  'x-etag': boolean | 'partial'
  'x-media-type'?: string
}

interface Answered {
  request: Request
  set: Answering
}

/** What `controller` provides before the body is read. */
interface Parsed {
  request: Request
  set: Answering
  params: Record<string, unknown>
  contentType: string
  findPrincipal: (request: Request, set: Answering) => Promise<Principal>
  readJson: (request: Request, principal: Principal, contentType: string) => Promise<unknown>
}

/** Returns the hooks of a route, which check its access first and document it. */
export function operation<T extends TSchema>({ access, answer, etag = false, ...rest }: Operation<T>) {
  const { id: operationId, summary, description, mediaType, errors = [] } = rest
  const detail: OperationDetail = {
    operationId,
    summary,
    'x-access': access,
    'x-errors': errors,
    'x-etag': etag,
    ...(description !== undefined && { description }),
    ...(mediaType !== undefined && { 'x-media-type': mediaType }),
  }
  return {
    response: { 200: answer },
    detail,
    parse: async ({ request, set, params, contentType, findPrincipal, readJson }: Parsed) => {
      refuseForeign(request)
      const principal = await findPrincipal(request, set)
      enforce(access, principal, params)
      return await readJson(request, principal, contentType)
    },
    transform: ({ principal, params }: { principal: Principal; params: Record<string, unknown> }) =>
      enforce(access, principal, params),
    ...(etag === true && { afterHandle: answerKnown }),
  }
}

/** Answers a GET with 304 if the client has the response (RFC 9110, 15.4.5). */
function answerKnown({ request, set: { headers } }: Answered): undefined {
  const { etag } = headers
  if (typeof etag !== 'string' || !isKnown(request, etag.slice(1, -1))) return undefined
  // Elysia's types allow only the response of the schema.
  return new Response(null, { status: 304, headers: { etag } }) as never
}

/** Sets the resource's strong entity tag, which is its version (RFC 9110, 8.8.3), and converts it. */
export function tagged<T extends { version: number }, U>(
  set: Answering,
  resource: T,
  toAnswer: (resource: T) => U,
): U {
  set.headers.etag = `"${resource.version}"`
  return toAnswer(resource)
}
