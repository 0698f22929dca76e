import { Elysia } from 'elysia'
import type { Logger } from 'pino'
import { type Authentication, type Caller, NOBODY } from '../access/access.ts'
import type { AccountServices } from '../accounts/accounts.ts'
import { token } from '../accounts/token-endpoint.ts'
import { isForV1, v1Surface } from '../docker-v1/docker-v1.ts'
import { sendBlob } from '../http/blob-response.ts'
import type { Bodies } from '../http/body.ts'
import { clientsOf } from '../http/clients.ts'
import type { ApiServices } from '../http/controller.ts'
import type { FrontDoor } from '../http/front-door.ts'
import { type Authority, authorityFiles, type Credentials, Listener } from '../http/listener.ts'
import type { Origins } from '../http/origin.ts'
import { errors } from '../http/problem.ts'
import { requestLog } from '../http/request-log.ts'
import { metrics } from '../operation/metrics.ts'
import { health } from '../operation/operation.ts'
import type { V2Limits } from '../registry/dispatch.ts'
import { v2Dispatch } from '../registry/dispatch.ts'
import type { Upstream } from '../registry/registry.ts'
import { routes } from '../registry/routes.ts'
import { onDemand } from '../runtime/idle-memory.ts'
import type { Metrics } from '../runtime/metrics.ts'
import type { OwnerOptions } from './administration.ts'

interface HttpOptions {
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

const showPage = ({ webPage }: typeof import('./page.ts')) => webPage()

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
    noteRefusal: (caller: Caller, what: string) => options.accounts.audit.noteRefusal(caller, what),
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
  const page = onDemand(() => import('./page.ts'), showPage)
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

/**
 * Serves one upstream's repositories by their own names, as Docker's `registry-mirrors` requests them. It serves only
 * what `anonymous` may pull and never asks for credentials: Docker would send the user's password for the upstream.
 */
export function serveMirror(
  options: HttpOptions,
  mirrorOf: Upstream,
  hostname: string,
  port: number,
): Listener {
  const { auth, content, log, limits, tls, metrics } = options
  const clients = clientsOf(options, (request) => listener.addressOf(request))
  const dispatch = v2Dispatch({
    ...clients,
    routes: routes().filter(({ access }) => access === 'pull' || access === 'base'),
    ...auth,
    content,
    accounts: options.accounts,
    limits,
    metrics,
    log,
    mirrorOf,
    authenticate: (request) => auth.authenticator.authenticate(null, () => clients.addressOf(request)),
    isForV1: () => false,
    onBlobBody: (bytes, isFile) => {
      metrics.traffic.sent += bytes
      if (isFile) listener.sendsFile(bytes)
    },
  })
  const app = new Elysia({ handler: { standardHostname: tls !== undefined } })
    .use(errors(log, clients.nextRequestId))
    .all('/v2', ({ request }) => dispatch(request), { parse: 'none' })
    .all('/v2/*', ({ request }) => dispatch(request), { parse: 'none' })
  const fetch = (request: Request) => options.frontDoor.admit(clients.arrivalOf(request), app.fetch)
  const listener = new Listener(fetch, hostname, port, tls?.credentials)
  return listener
}

/**
 * Opens the socket through which commands reach the server. Without it the server works, too.
 *
 * @param remove removes what is at the path
 */
export function openSocket(path: string, remove: () => void, options: OwnerOptions) {
  try {
    remove()
    const socket = serveSocket(path, options)
    return {
      async stop() {
        await socket.stop()
        remove()
      },
    }
  } catch (cause) {
    options.log.warn({ cause }, `cannot create the socket ${path}: commands cannot reach this server`)
    return { stop: async () => {} }
  }
}

/** Serves the owner's API on a socket that only its owner can open. */
export function serveSocket(path: string, options: OwnerOptions): { stop(): Promise<void> } {
  const fetch = onDemand(
    () => import('./administration.ts'),
    ({ ownerApi }) => ownerApi(options),
  )
  const umask = process.umask(0o177)
  try {
    const server = Bun.serve({ unix: path, fetch })
    return { stop: () => server.stop() }
  } finally {
    process.umask(umask)
  }
}
