import { Elysia } from 'elysia'
import type { Logger } from 'pino'
import type { Auth } from '../auth/auth.ts'
import type { Metadata } from '../metadata/metadata.ts'
import type { Metrics } from '../metrics.ts'
import { NOBODY } from '../registry/access.ts'
import type { Authority } from '../tls/authority.ts'
import type { Credentials } from '../tls/key-pair.ts'
import { version } from '../version.ts'
import { adminApi } from './admin/api.ts'
import type { Changes } from './admin/changes.ts'
import type { Content } from './admin/content.ts'
import type { AdminContext } from './admin/context.ts'
import { orSession } from './admin/session-identity.ts'
import { authorityFiles } from './authority.ts'
import { BodyReader } from './body-reader.ts'
import { errors } from './errors.ts'
import { health } from './health.ts'
import { Listener } from './listener.ts'
import { metrics } from './metrics.ts'
import { openapi } from './openapi.ts'
import type { Origins } from './origin.ts'
import { problems } from './problems.ts'
import { requestIds, requestLog } from './request-log.ts'
import { SendfilePacer } from './sendfile-pacer.ts'
import { SessionCookies } from './session-cookie.ts'
import { token } from './token.ts'
import { v1Paths } from './v1/openapi.ts'
import { isForV1, v1Surface } from './v1/surface.ts'
import { v2Dispatch } from './v2/dispatch.ts'
import type { V2Limits } from './v2/exchange.ts'
import { v2Paths } from './v2/openapi.ts'
import { routes } from './v2/routes.ts'

export interface HttpOptions {
  content: Content
  auth: Auth
  metadata: Metadata
  /** Milliseconds since 1970. */
  now: () => number
  /** Of the data folder, as all its servers have them. */
  changes: Changes
  metrics: Metrics
  origins: Origins
  /** Told when an account has a new password. */
  onPasswordChanged: (account: string) => void
  log: Logger
  limits: V2Limits & {
    /** Memory for all bodies that are read whole. */
    bodyBytesMax: number
    /** A body that brings nothing for so long is given up. */
    stallSecondsMax: number
  }
  /** With it HTTPS is spoken, otherwise HTTP. */
  tls?: { credentials: Credentials; authority: Authority | undefined } | undefined
}

export interface HttpServer {
  /** `host:port`, with the port that was taken. */
  address: string
  /** Shows new connections another certificate. Only where there is one. */
  replace(credentials: Credentials): void
  /** Takes no new request; resolves when those in flight have ended, after so many seconds at the latest. */
  stop(secondsMax: number): Promise<void>
}

/** Mounts every surface, in order, and listens. The one page where the whole URL space is seen. */
export function serveHttp(options: HttpOptions, hostname: string, port: number): HttpServer {
  const { auth, metadata, content, log, limits, tls, metrics: counted } = options
  const pacer = new SendfilePacer(() => app.server?.pendingRequests ?? 0)
  const clients = clientsOf(options, (request) => listener.addressOf(request))
  const { authenticate, nextRequestId } = clients
  const table = routes(clients.bodies)
  const { docker, metrics: settings } = content.config
  const { traffic } = counted
  const shared = {
    ...{ ...auth, ...clients, metadata, content, limits, log, metrics: counted, now: options.now },
    onPasswordChanged: options.onPasswordChanged,
    onBlobBody: (bytes: number, isFile: boolean) => {
      traffic.sent += bytes
      // With TLS, Bun reads and writes files in small pieces.
      if (isFile && !tls) pacer.begin(bytes)
    },
  }
  const dispatch = v2Dispatch({
    ...{ ...shared, routes: table, registry: content.registry, pulls: content.pulls },
    ...{ upstreams: new Set<string>(), mirrorOf: undefined, service: auth.tokens.service },
    authenticate: auth.access.isOpen ? () => NOBODY : authenticate,
    isForV1: (request) => docker.v1 && docker.v1Fallback && isForV1(request),
  })
  // Elysia looks for the path from a fixed place in the URL: behind `http://`, or from the third letter of a host.
  const app = new Elysia({ handler: { standardHostname: tls !== undefined } })
    .use(errors(log, nextRequestId))
    .all('/v2', ({ request }) => dispatch(request), { parse: 'none', detail: { hide: true } })
    .all('/v2/*', ({ request }) => dispatch(request), { parse: 'none', detail: { hide: true } })
    .use(v1Surface({ ...shared, ...content.registry, images: content.v1Images }))
    .use(
      new Elysia()
        .use(requestLog(log, nextRequestId, counted))
        .use(health(content.problem))
        .use(metrics({ ...shared, mode: settings.access }))
        .use(token(shared))
        .use(adminApi(adminContextOf(options, shared)))
        .use(problems())
        .use(openapi({ paths: { ...v2Paths(table), ...(docker.v1 && v1Paths()) }, version }))
        .use(tls?.authority ? authorityFiles(tls.authority) : new Elysia()),
    )
  const listener = new Listener(app, hostname, port, tls?.credentials)
  return {
    address: listener.address,
    replace: (credentials) => listener.replace(credentials),
    async stop(secondsMax) {
      await listener.stop(secondsMax)
      pacer.stop()
    },
  }
}

/** How requests are read, and what is known of who sends them. */
function clientsOf({ auth, origins, limits }: HttpOptions, peerOf: (request: Request) => string) {
  const addressOf = (request: Request): string => origins.clientOf(request, peerOf(request))
  return {
    addressOf,
    originOf: (request: Request): string => origins.of(request, peerOf(request)),
    authenticate: (request: Request) =>
      auth.authenticator.authenticate(request.headers.get('authorization'), () => addressOf(request)),
    nextRequestId: requestIds(),
    bodies: new BodyReader(limits.bodyBytesMax, limits.stallSecondsMax),
  }
}

type Shared = ReturnType<typeof clientsOf> &
  Auth &
  Pick<AdminContext, 'metadata' | 'content' | 'now' | 'onPasswordChanged'>

/** The admin API takes the session of a browser, too. */
function adminContextOf({ auth, changes }: HttpOptions, shared: Shared): AdminContext {
  const cookies = new SessionCookies(shared.originOf)
  const authenticate = orSession(cookies, auth.authenticator, shared.authenticate)
  return { ...shared, changes, cookies, authenticate: auth.access.isOpen ? () => NOBODY : authenticate }
}
