import { type AnyElysia, Elysia } from 'elysia'
import type { Logger } from 'pino'
import { version } from '../config/version.ts'
import { NOBODY } from '../domain/access/access.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import { orSession } from './admin/accounts/session-identity.ts'
import { adminApi } from './admin/api.ts'
import type { AdminContext } from './admin/context.ts'
import { streamOf } from './blob-response.ts'
import { v2Paths } from './distribution/openapi.ts'
import type { routes } from './distribution/routes.ts'
import { v1Paths } from './docker-v1/openapi.ts'
import { HeadSizes } from './head-sizes.ts'
import { openapi } from './openapi/openapi.ts'
import { errors } from './problem/errors.ts'
import { problems } from './problem/problems.ts'
import { requestLog } from './request-log.ts'
import { SessionCookies } from './session-cookie.ts'

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
      .use(openapi({ paths, version })),
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
  return { ...options, cookies, authenticate: orSession(cookies, accounts.sessions, options.authenticate) }
}
