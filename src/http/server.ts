import { Elysia } from 'elysia'
import type { Logger } from 'pino'
import type { AccountServices } from '../core/accounts/account-services.ts'
import { NOBODY } from '../domain/access/access.ts'
import type { Authentication } from '../domain/access/authentication.ts'
import type { Authority, Credentials } from '../domain/server-certificate.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import type { ApiServices } from './admin/services.ts'
import { sendBlob } from './blob-response.ts'
import { clientsOf } from './clients.ts'
import { v2Dispatch } from './distribution/dispatch.ts'
import type { V2Limits } from './distribution/exchange.ts'
import { routes } from './distribution/routes.ts'
import { isForV1, v1Surface } from './docker-v1/surface.ts'
import { health } from './health.ts'
import type { FrontDoor } from './listener/front-door.ts'
import { Listener } from './listener/listener.ts'
import { metrics } from './metrics.ts'
import { onDemand } from './on-demand.ts'
import { errors } from './problem/errors.ts'
import { authorityFiles } from './request/authority.ts'
import type { Bodies } from './request/bodies.ts'
import type { Origins } from './request/origin.ts'
import { requestLog } from './request-log.ts'
import { token } from './token.ts'

export interface HttpOptions {
  content: ApiServices
  auth: Authentication
  accounts: AccountServices
  /** Milliseconds since 1970. */
  now: () => number
  metrics: Metrics
  origins: Origins
  /** Shared by all listeners. */
  frontDoor: FrontDoor
  bodies: Bodies
  log: Logger
  limits: V2Limits
  /** Serves HTTPS if given, otherwise HTTP. */
  tls?: { credentials: Credentials; authority: Authority | undefined } | undefined
}

/** Options of routes that forward the request unparsed. */
const WHOLE = { parse: 'none', detail: { hide: true } } as const

/** The paths that `administration.ts` serves, which is loaded on demand. */
const ADMINISTRATION = ['/api/v1/*', '/problems', '/problems/*', '/swagger', '/swagger/*']

/** The paths of the web page, which is loaded on demand, too. */
const PAGE_PATHS = [
  '/',
  '/assets/*',
  '/sign-in',
  '/repositories',
  '/repositories/*',
  '/cache',
  '/accounts',
  '/accounts/*',
  '/activity',
  '/activity/*',
  '/maintenance',
  '/maintenance/*',
  '/settings',
]

const showPage = ({ webPage }: typeof import('./page/page.ts')) => webPage()

/** Mounts every surface and listens. This function shows the whole URL space. */
export function serveHttp(options: HttpOptions, hostname: string, port: number): Listener {
  const { auth, content, log, limits, tls, metrics: counted } = options
  const clients = clientsOf(options, (request) => listener.addressOf(request))
  const { authenticate, nextRequestId } = clients
  const table = routes()
  const { docker, metrics: settings } = content.config
  const onBlobBody = (bytes: number, isFile: boolean) => {
    counted.traffic.sent += bytes
    if (isFile) listener.sendsFile(bytes)
  }
  const shared = {
    ...auth,
    ...clients,
    accounts: options.accounts,
    content,
    limits,
    log,
    metrics: counted,
    now: options.now,
    onBlobBody,
    sendBlob: sendBlob(content.registry, onBlobBody),
  }
  const dispatch = v2Dispatch({
    ...shared,
    routes: table,
    mirrorOf: undefined,
    authenticate: auth.access.isOpen ? () => NOBODY : authenticate,
    isForV1: (request) => docker.v1 && docker.v1Fallback && isForV1(request),
  })
  // Elysia finds the path from a fixed offset in the URL, which `standardHostname` selects.
  const handler = { standardHostname: tls !== undefined }
  const controllers = new Elysia()
    .use(health(() => content.reserve.problem() ?? options.bodies.problem()))
    .use(metrics({ ...shared, mode: settings.access }))
    .use(token(shared))
    .use(tls?.authority ? authorityFiles(tls.authority) : new Elysia())
  const administer = onDemand(
    () => import('./administration.ts'),
    ({ administration }) => administration({ ...shared, handler, controllers, table, hasV1: docker.v1 }),
  )
  const page = onDemand(() => import('./page/page.ts'), showPage)
  const show = ({ request }: { request: Request }) => page(request)
  const app = new Elysia({ handler })
    .use(errors(log, nextRequestId))
    .all('/v2', ({ request }) => dispatch(request), WHOLE)
    .all('/v2/*', ({ request }) => dispatch(request), WHOLE)
    .use(v1Surface(shared))
    .use(new Elysia().use(requestLog(shared)).use(controllers))
  for (const path of ADMINISTRATION) app.all(path, ({ request }) => administer(request), WHOLE)
  // With only a route for all methods, Elysia would set the Content-Length of a response to HEAD to 0.
  for (const path of PAGE_PATHS) app.all(path, show, WHOLE).head(path, show, WHOLE)
  const fetch = (request: Request) => options.frontDoor.admit(clients.arrivalOf(request), app.fetch)
  const listener = new Listener(fetch, hostname, port, tls?.credentials)
  return listener
}
