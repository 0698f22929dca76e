import { type AnyElysia, Elysia } from 'elysia'
import type { Logger } from 'pino'
import { type Authentication, type Caller, type Identity, NOBODY } from '../access/access.ts'
import type { AccountServices } from '../accounts/accounts.ts'
import {
  access,
  audit,
  caller,
  grants,
  groups,
  orSession,
  robots,
  session,
  signingKeys,
  tokens,
  users,
} from '../accounts/api.ts'
import { cache, pins, upstreams } from '../cache/api.ts'
import {
  blobContent,
  blobs,
  digests,
  manifests,
  pulls,
  repositories,
  search,
  storage,
  tags,
  uploads,
} from '../content/api.ts'
import type { Contract } from '../contract.ts'
import { v1Paths } from '../docker-v1/openapi.ts'
import { files } from '../files/api.ts'
import { collector, purges } from '../garbage/api.ts'
import { events } from '../history/api.ts'
import { sendBlob, streamOf } from '../http/blob-response.ts'
import type { Bodies } from '../http/body.ts'
import { type AdminContext, type ApiServices, SessionCookies } from '../http/controller.ts'
import { openapi } from '../http/openapi.ts'
import { errors, problems } from '../http/problem.ts'
import { requestIds, requestLog } from '../http/request-log.ts'
import { damage } from '../integrity/api.ts'
import { jobs } from '../jobs/api.ts'
import { server } from '../operation/api.ts'
import { quotas } from '../quota/api.ts'
import type { V2Limits } from '../registry/dispatch.ts'
import { v2Dispatch } from '../registry/dispatch.ts'
import { v2Paths } from '../registry/openapi.ts'
import { routes } from '../registry/routes.ts'
import { retention } from '../retention/api.ts'
import type { Metrics } from '../runtime/metrics.ts'

export interface AdministrationOptions extends Omit<AdminContext, 'cookies' | 'streamOf'> {
  /** Returns the scheme and host that the client used to reach this server. */
  originOf: (request: Request) => string
  log: Logger
  nextRequestId: () => string
  metrics: Metrics
  /** The handler options of the server that forwards requests to this one. */
  handler: { standardHostname: boolean }
  /** The server's own controllers, for the document. */
  controllers: AnyElysia
  /** The rows of /v2. */
  table: ReturnType<typeof routes>
  hasV1: boolean
}

/** The admin API, the error codes, and the OpenAPI document with its page. */
export function administration({
  log,
  nextRequestId,
  metrics,
  controllers,
  sendBlob,
  ...options
}: AdministrationOptions) {
  const sizes = new HeadSizes()
  const context = contextOf({
    ...options,
    streamOf,
    sendBlob: async (request, ...blob) => sizes.note(request, await sendBlob(request, ...blob)),
  })
  const paths = { ...v2Paths(options.table), ...(options.hasV1 && v1Paths()) }
  const app = new Elysia({ handler: options.handler }).use(errors(log, nextRequestId)).use(
    new Elysia()
      .use(requestLog({ log, nextRequestId, metrics, addressOf: options.addressOf }))
      .use(controllers)
      .use(adminApi(context))
      .use(problems())
      .use(openapi(paths)),
  )
  return { handle: async (request: Request) => sizes.restore(request, await app.handle(request)) }
}

/** Adds browser sessions to the authentication of the admin API. */
function contextOf(
  options: Omit<AdminContext, 'cookies'> & Pick<AdministrationOptions, 'originOf'>,
): AdminContext {
  const cookies = new SessionCookies(options.originOf)
  const { access, accounts } = options
  if (access.isOpen) return { ...options, cookies, authenticate: () => NOBODY }
  return { ...options, cookies, authenticate: orSession(cookies, accounts, options.authenticate) }
}

/** The admin API under /api/v1, one Elysia instance for each resource. */
export function adminApi(context: AdminContext) {
  return new Elysia({ name: 'admin', prefix: '/api/v1' })
    .use(session(context))
    .use(caller(context))
    .use(access(context))
    .use(users(context))
    .use(robots(context))
    .use(tokens(context))
    .use(groups(context))
    .use(grants(context))
    .use(signingKeys(context))
    .use(audit(context))
    .use(repositories(context))
    .use(pulls(context))
    .use(tags(context))
    .use(manifests(context))
    .use(files(context))
    .use(events(context))
    .use(blobs(context))
    .use(blobContent(context))
    .use(damage(context))
    .use(digests(context))
    .use(search(context))
    .use(uploads(context))
    .use(storage(context))
    .use(cache(context))
    .use(pins(context))
    .use(upstreams(context))
    .use(collector(context))
    .use(purges(context))
    .use(retention(context))
    .use(quotas(context))
    .use(jobs(context))
    .use(server(context))
}

/** The identity of every caller on the socket: only the owner of the data folder can open it. */
const OWNER: Identity = Object.freeze({ ...NOBODY, account: 'owner (socket)', isAdmin: true })

export interface OwnerOptions {
  auth: Pick<Authentication, 'access' | 'tokens'>
  accounts: AccountServices
  content: ApiServices
  /** Milliseconds since 1970. */
  now: () => number
  log: Logger
  metrics: Metrics
  bodies: Bodies
  limits: V2Limits
}

/** The admin API and /v2 for the owner of the data folder. They need no credential. */
export function ownerApi({ auth, log, ...options }: OwnerOptions) {
  const nextRequestId = requestIds()
  const context = {
    ...options,
    access: auth.access,
    cookies: new SessionCookies(() => 'http://localhost'),
    noteRefusal: (caller: Caller, what: string) => options.accounts.audit.noteRefusal(caller, what),
    authenticate: () => OWNER,
    addressOf: () => 'socket',
    sourceOf: (request: Request) => ({ request, client: undefined }),
    beforeLarge: async () => {},
    sendBlob: sendBlob(options.content.registry, () => {}),
    streamOf,
  }
  const dispatch = v2Dispatch({
    ...context,
    routes: routes(),
    log,
    mirrorOf: undefined,
    tokens: auth.tokens,
    originOf: () => 'http://localhost',
    nextRequestId,
    onBlobBody: () => {},
    isForV1: () => false,
  })
  return new Elysia()
    .all('/v2/*', ({ request }) => dispatch(request), { parse: 'none', detail: { hide: true } })
    .use(errors(log, nextRequestId))
    .use(requestLog({ log, nextRequestId, addressOf: context.addressOf }))
    .use(adminApi(context))
}

/**
 * Restores the Content-Length of responses to HEAD. Elysia replaces it by the number of bytes that it reads of the body,
 * which is 0 for a handler that knows the size and sends no body.
 */
class HeadSizes {
  private readonly sizes = new WeakMap<Request, string>()

  /** Notes the Content-Length that a handler has set. */
  note(request: Request, response: Response): Response {
    const size = response.headers.get('content-length')
    if (request.method === 'HEAD' && size !== null) this.sizes.set(request, size)
    return response
  }

  /** Restores the recorded Content-Length once Elysia has created the response. */
  restore(request: Request, response: Response): Response {
    const size = this.sizes.get(request)
    if (size !== undefined) response.headers.set('content-length', size)
    return response
  }
}

/** The part of Elysia's routes at a path such as `repositories/:repository`. */
type At<T, P extends string> = P extends `${infer First}/${infer Rest}`
  ? First extends keyof T
    ? At<T[First], Rest>
    : never
  : P extends keyof T
    ? T[P]
    : never

type Declared = ReturnType<typeof adminApi>['~Routes']['api']['v1']

/** The routes of the contract that Elysia does not have, or whose responses differ. */
type Different = {
  [P in keyof Contract & string]: {
    [M in keyof Contract[P] & string]: At<Declared, P> extends Record<M, { response: infer R }>
      ? Contract[P][M] extends { response: infer C }
        ? [Pick<R, keyof C & keyof R>, C] extends [C, Pick<R, keyof C & keyof R>]
          ? never
          : `${M} ${P}`
        : never
      : `${M} ${P}`
  }[keyof Contract[P] & string]
}[keyof Contract & string]

true satisfies [Different] extends [never] ? true : Different
