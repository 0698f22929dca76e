import { Elysia } from 'elysia'
import type { Logger } from 'pino'
import type { AccountServices } from '../core/accounts/account-services.ts'
import { type Identity, NOBODY } from '../domain/access/access.ts'
import type { Authentication } from '../domain/access/authentication.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import { adminApi } from './admin/api.ts'
import type { ApiServices } from './admin/services.ts'
import { sendBlob, streamOf } from './blob-response.ts'
import { v2Dispatch } from './distribution/dispatch.ts'
import type { V2Limits } from './distribution/exchange.ts'
import { routes } from './distribution/routes.ts'
import { errors } from './problem/errors.ts'
import type { Bodies } from './request/bodies.ts'
import { requestIds, requestLog } from './request-log.ts'
import { SessionCookies } from './session-cookie.ts'

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
