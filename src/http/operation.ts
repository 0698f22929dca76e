import { type Static, type TSchema, t } from 'elysia'
import { type AccessRule, enforce, type Principal } from '../access/access.ts'
import type { ErrorCode, RegistryError } from '../oci/error.ts'
import { isKnown, refuseForeign } from './origin.ts'

/**
 * What a route takes and returns, from its operation and the models of its query and body. The page and the commands know
 * the API by these types alone.
 */
export interface Route<O extends { response: object }, Input = O> {
  query: Input extends { query: infer Q extends TSchema } ? Static<Q> : never
  body: Input extends { body: infer B extends TSchema } ? Static<B> : never
  response: {
    [S in keyof O['response']]: O['response'][S] extends TSchema ? Static<O['response'][S]> : never
  }
}

/** The routes of a table of operations, by path and method. */
export type RoutesOf<Table> = {
  [P in keyof Table]: {
    [M in keyof Table[P]]: Table[P][M] extends { response: object } ? Route<Table[P][M]> : never
  }
}

export type Method = 'get' | 'post' | 'put' | 'patch' | 'delete'

/** A route of a table of routes; never if there is none. */
export type RouteAt<Routes, P extends string, M extends Method> = P extends keyof Routes
  ? Routes[P] extends Record<M, infer R>
    ? R
    : never
  : never

/** Branded strings, such as digests, become strings: the server validates them. */
export type Plain<T> = T extends string
  ? T extends object
    ? string
    : T
  : T extends object
    ? { [K in keyof T]: Plain<T[K]> }
    : T

/** The response of a route; undefined for 204. */
export type AnswerOf<Routes, P extends string, M extends Method = 'get'> =
  RouteAt<Routes, P, M> extends { response: infer R } ? ContentOf<R> : never

type ContentOf<R> = R extends { 200: infer A } ? A : R extends { 201: infer A } ? A : undefined

/** An entry of the list that a route returns. */
export type ItemOf<Routes, P extends string> = AnswerOf<Routes, P> extends { items: (infer T)[] } ? T : never

/** Holds the response headers set so far, and what the log says about the request. */
export interface Answering {
  headers: Record<string, string | number | undefined>
  account?: string | undefined
  address?: string
  failure?: RegistryError
  status?: number | string
}

/** Whether an operation creates a resource: always (a POST), or unless it exists (a PUT). */
type Creates = 'always' | 'unless-it-exists'

/** The models of what a route takes. */
interface Taken {
  params?: TSchema
  query?: TSchema
  body?: TSchema
}

export interface Operation<T extends TSchema | undefined, C extends Creates | undefined> {
  /** The schema of the response. Without one, the operation responds with 204. */
  answer?: T
  /** Responds with 201 if it created the resource. `markCreated` says so where that depends. */
  creates?: C
  /** Returns the URL of the created resource relative to the request's path; by default it is that path. */
  location?: (resource: T extends TSchema ? Static<T> : never) => string
  /** The errors it can return, besides those of every operation: unauthenticated, denied, invalid request. */
  errors?: readonly ErrorCode[]
  /**
   * For a GET: responses carry an entity tag, the `version` of the resource. For a change: it supports If-Match and
   * If-None-Match. `partial`: some fields change without the tag, so a GET is never answered with 304.
   */
  etag?: boolean | 'partial'
  /** Whether a part of the response can be requested, which has status 206. */
  ranges?: boolean
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
  'x-errors': readonly ErrorCode[]
  'x-etag': boolean | 'partial'
  'x-media-type'?: string
}

/** The responses of an operation, by status. */
type Responses<T extends TSchema | undefined, C extends Creates | undefined> = T extends TSchema
  ? C extends 'always'
    ? { 201: T }
    : C extends 'unless-it-exists'
      ? { 200: T; 201: T }
      : { 200: T }
  : { 204: typeof NoContent }

const NoContent = t.Void({ description: 'The change is complete and durable' })

function responsesOf(answer: TSchema | undefined, creates: Creates | undefined, ranges: boolean) {
  if (answer === undefined) return { 204: NoContent }
  if (ranges) return { 200: answer, 206: answer }
  if (creates === 'always') return { 201: answer }
  return creates === undefined ? { 200: answer } : { 200: answer, 201: answer }
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

type Checked = Pick<Parsed, 'params' | 'set'> & { principal: Principal }
type Answered = Pick<Parsed, 'request' | 'set'> & { responseValue?: unknown }

/**
 * Returns the hooks of a route, which check its access first and document it.
 *
 * @param operationId its id in the OpenAPI document; generated clients name their functions after it
 * @param access who may call it
 */
export function operation<
  T extends TSchema | undefined = undefined,
  C extends Creates | undefined = undefined,
  I = object,
>(
  operationId: string,
  access: AccessRule,
  summary: string,
  options: Operation<T, C> & Taken & I = {} as Operation<T, C> & I,
) {
  const { answer, creates, location, etag = false, ranges = false } = options
  const { description, mediaType, errors = [], params, query, body } = options
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
    ...({ ...(params && { params }), ...(query && { query }), ...(body && { body }) } as Pick<
      I,
      keyof I & keyof Taken
    >),
    response: responsesOf(answer, creates, ranges) as Responses<T, C>,
    detail,
    parse: async ({ request, set, params, contentType, findPrincipal, readJson }: Parsed) => {
      refuseForeign(request)
      const principal = await findPrincipal(request, set)
      enforce(access, principal, params)
      return await readJson(request, principal, contentType)
    },
    transform: ({ principal, params, set }: Checked) => {
      enforce(access, principal, params)
      if (creates === 'always') set.status = 201
      if (answer === undefined) set.status = 204
    },
    afterHandle: (answered: Answered): undefined => {
      const { request, set, responseValue } = answered
      // The entity tag is strong (RFC 9110, 8.8.3). The version itself is not sent, because no schema has it.
      const { version } = Object(responseValue) as { version?: unknown }
      if (typeof version === 'number') set.headers.etag = `"${version}"`
      if (set.status === 201) {
        const path = new URL(request.url).pathname
        // The response is the resource: Elysia checks it against the schema after this.
        set.headers.location = location === undefined ? path : path + location(responseValue as never)
      }
      return etag === true ? answerKnown(answered) : undefined
    },
  }
}

/** Responds to a GET with 304 if the client has the current version (RFC 9110, 15.4.5). */
function answerKnown({ request, set: { headers } }: Answered): undefined {
  const { etag } = headers
  const isRead = request.method === 'GET' || request.method === 'HEAD'
  if (!isRead || typeof etag !== 'string' || !isKnown(request, etag.slice(1, -1))) return undefined
  // Elysia's types allow only the response of the schema.
  return new Response(null, { status: 304, headers: { etag } }) as never
}

/** Sets the status of a PUT: 201 if it created the resource, otherwise 200. */
export function markCreated(set: Answering, isNew: boolean): void {
  set.status = isNew ? 201 : 200
}
