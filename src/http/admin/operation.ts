import type { Static, TSchema } from 'elysia'
import { type AccessRule, type Asker, enforce } from '../../domain/asker.ts'
import type { ErrorCode } from '../../oci/error.ts'
import { isKnown } from '../request/conditions.ts'
import { refuseForeign } from '../session-cookie.ts'
import { etagOf } from './changes.ts'
import type { Answering } from './context.ts'

export interface Operation<T extends TSchema> {
  /** The `operationId` in the OpenAPI document, which clients that are generated from it name their functions by. */
  id: string
  summary: string
  /** Who may ask. */
  access: AccessRule
  /** The answer, with status 200. */
  answer: T
  /** What it can fail with, besides what every operation can: no credential, no right, a malformed request. */
  errors?: ErrorCode[]
  /**
   * Of a GET: its answers carry an entity tag. Of a change: it heeds If-Match and If-None-Match, by `Changes`. A function
   * answers what of the answer the tag is of, where some of it changes by itself, as counters do; then a GET always
   * answers all of it.
   */
  etag?: boolean | ((answer: Static<T>) => unknown)
  /** What the summary leaves open. */
  description?: string
  /** The media type of the answer, where that is not JSON. */
  mediaType?: string
}

/** What the OpenAPI document is told of an operation, besides what its schemas say. */
export interface OperationDetail {
  operationId: string
  summary: string
  description?: string
  'x-access': AccessRule
  'x-errors': ErrorCode[]
  'x-etag': boolean
  'x-media-type'?: string
}

interface Answered {
  request: Request
  set: { headers: Record<string, string | number | undefined>; status?: number | string }
  response?: unknown
}

/** What of `controller` is there before the body is. */
interface Parsed {
  request: Request
  set: Answering
  params: Record<string, unknown>
  contentType: string
  findAsker: (request: Request, set: Answering) => Promise<Asker>
  readJson: (request: Request, asker: Asker, contentType: string) => Promise<unknown>
}

/** The hooks of a route: its access is checked first of all, and all of it is in the OpenAPI document. */
export function operation<T extends TSchema>({ access, answer, etag = false, ...rest }: Operation<T>) {
  const { id: operationId, summary, description, mediaType, errors = [] } = rest
  const detail: OperationDetail = {
    operationId,
    summary,
    'x-access': access,
    'x-errors': errors,
    'x-etag': etag !== false,
    ...(description !== undefined && { description }),
    ...(mediaType !== undefined && { 'x-media-type': mediaType }),
  }
  return {
    response: { 200: answer },
    detail,
    parse: async ({ request, set, params, contentType, findAsker, readJson }: Parsed) => {
      refuseForeign(request)
      const asker = await findAsker(request, set)
      enforce(access, asker, params)
      return await readJson(request, asker, contentType)
    },
    transform: ({ asker, params }: { asker: Asker; params: Record<string, unknown> }) =>
      enforce(access, asker, params),
    ...(etag !== false && {
      afterHandle: (answered: Answered) => tagAnswer(answered, etag === true ? undefined : etag),
    }),
  }
}

/** Gives what a GET answers its entity tag, or says that the client has it already (RFC 9110, 15.4.5). */
function tagAnswer<T>(
  { request, set, response }: Answered,
  stateOf: ((answer: T) => unknown) | undefined,
): undefined {
  if (
    (request.method !== 'GET' && request.method !== 'HEAD') ||
    response === undefined ||
    response instanceof Response
  )
    return undefined
  set.headers.etag ??= etagOf(stateOf === undefined ? response : stateOf(response as T))
  const etag = String(set.headers.etag)
  if (stateOf !== undefined || !isKnown(request, etag.slice(1, -1))) return undefined
  set.status = 304
  // The types of a route know no other answer than its schema's.
  return new Response(null, { status: 304, headers: { etag } }) as never
}

interface AnswerHeaders {
  headers: Record<string, string | number | undefined>
}

/** Answers a resource with its entity tag, which is its version (strong: RFC 9110, 8.8.3). */
export function tagged<T extends { version: number }, U>(
  set: AnswerHeaders,
  resource: T,
  toAnswer: (resource: T) => U,
): U {
  set.headers.etag = `"${resource.version}"`
  return toAnswer(resource)
}
