import type { TSchema } from 'elysia'
import { type AccessRule, type Asker, enforce } from '../../domain/asker.ts'
import type { ErrorCode } from '../../oci/error.ts'
import { isKnown } from '../request/conditions.ts'
import { refuseForeign } from '../session-cookie.ts'
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
   * Of a GET: its answers carry an entity tag, by `tagged`. Of a change: it heeds If-Match and If-None-Match. `partial`:
   * some of the answer changes without the tag (counters, tags that expire), so a GET always answers all of it.
   */
  etag?: boolean | 'partial'
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
  'x-etag': boolean | 'partial'
  'x-media-type'?: string
}

interface Answered {
  request: Request
  set: Answering
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
    'x-etag': etag,
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
    ...(etag === true && { afterHandle: answerKnown }),
  }
}

/** Says that the client has the answer of a GET already (RFC 9110, 15.4.5). */
function answerKnown({ request, set: { headers } }: Answered): undefined {
  const { etag } = headers
  if (typeof etag !== 'string' || !isKnown(request, etag.slice(1, -1))) return undefined
  // The types of a route know no other answer than its schema's.
  return new Response(null, { status: 304, headers: { etag } }) as never
}

/** Answers a resource with its entity tag, which is its version (strong: RFC 9110, 8.8.3). */
export function tagged<T extends { version: number }, U>(
  set: Answering,
  resource: T,
  toAnswer: (resource: T) => U,
): U {
  set.headers.etag = `"${resource.version}"`
  return toAnswer(resource)
}
