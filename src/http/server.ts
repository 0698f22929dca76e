import { Elysia } from 'elysia'
import type { Logger } from 'pino'
import type { Auth } from '../auth/auth.ts'
import type { Metadata } from '../metadata/metadata.ts'
import { NOBODY } from '../registry/access.ts'
import type { Authority } from '../tls/authority.ts'
import type { Credentials } from '../tls/key-pair.ts'
import { version } from '../version.ts'
import { adminApi } from './admin/api.ts'
import type { Changes } from './admin/changes.ts'
import type { Content } from './admin/content.ts'
import { orSession } from './admin/session-identity.ts'
import { authorityFiles } from './authority.ts'
import { BodyReader } from './body-reader.ts'
import { errors } from './errors.ts'
import { health } from './health.ts'
import { Listener } from './listener.ts'
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
  const { auth, metadata, content, now, origins, log, limits, tls, changes } = options
  const bodies = new BodyReader(limits.bodyBytesMax, limits.stallSecondsMax)
  const table = routes(bodies)
  const nextRequestId = requestIds()
  const peerOf = (request: Request): string => listener.addressOf(request)
  const originOf = (request: Request): string => origins.of(request, peerOf(request))
  const addressOf = (request: Request): string => origins.clientOf(request, peerOf(request))
  const authenticate = (request: Request) =>
    auth.authenticator.authenticate(request.headers.get('authorization'), () => addressOf(request))
  const identify = auth.access.isOpen ? () => NOBODY : authenticate
  const pacer = new SendfilePacer(() => app.server?.pendingRequests ?? 0)
  // With TLS, Bun reads and writes files in small pieces.
  const onFileBody = (bytes: number) => (tls ? undefined : pacer.begin(bytes))
  const { registry, v1Images } = content
  const { docker } = content.config
  const dispatch = v2Dispatch({
    routes: table,
    registry,
    pulls: content.pulls,
    access: auth.access,
    limits,
    log,
    upstreams: new Set(),
    mirrorOf: undefined,
    authenticate: identify,
    addressOf,
    originOf,
    service: auth.tokens.service,
    nextRequestId,
    onFileBody,
    isForV1: (request) => docker.v1 && docker.v1Fallback && isForV1(request),
  })
  const cookies = new SessionCookies(originOf)
  const admin = {
    ...{ ...auth, metadata, content, now, addressOf, bodies, changes, cookies },
    onPasswordChanged: options.onPasswordChanged,
    authenticate: auth.access.isOpen ? () => NOBODY : orSession(cookies, auth.authenticator, authenticate),
  }
  const v1 = v1Surface({
    ...{ ...auth, ...registry, images: v1Images, metadata, bodies, now, addressOf, originOf, onFileBody },
    ...{ log, nextRequestId, onPasswordChanged: options.onPasswordChanged },
  })
  // Elysia looks for the path from a fixed place in the URL: behind `http://`, or from the third letter of a host.
  const app = new Elysia({ handler: { standardHostname: tls !== undefined } })
    .use(errors(log, nextRequestId))
    .all('/v2', ({ request }) => dispatch(request), { parse: 'none', detail: { hide: true } })
    .all('/v2/*', ({ request }) => dispatch(request), { parse: 'none', detail: { hide: true } })
    .use(v1)
    .use(
      new Elysia()
        .use(requestLog(log, nextRequestId))
        .use(health(content.problem))
        .use(token({ metadata, ...auth, now, addressOf, bodies }))
        .use(adminApi(admin))
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
