import { Elysia } from 'elysia'
import type { Logger } from 'pino'
import type { AccountServices } from '../core/accounts/account-services.ts'
import { type Identity, NOBODY } from '../domain/access.ts'
import type { Authentication } from '../domain/authentication.ts'
import { adminApi } from './admin/api.ts'
import type { Content } from './admin/services.ts'
import { errors } from './problem/errors.ts'
import { openBodies } from './request/bodies.ts'
import { requestIds, requestLog } from './request-log.ts'
import { SessionCookies } from './session-cookie.ts'

/** The identity of every caller on the socket: only the owner of the data folder can open it. */
const OWNER: Identity = Object.freeze({ ...NOBODY, account: 'owner (socket)', isAdmin: true })

/** The limits of bodies. Manifests are never sent to the socket. */
const BODY_LIMITS = { manifestBytesMax: 0, bodyBytesMax: 0, stallSecondsMax: 60 }

export interface OwnerOptions {
  auth: Pick<Authentication, 'access'>
  accounts: AccountServices
  content: Content
  /** Milliseconds since 1970. */
  now: () => number
  log: Logger
}

/** The admin API for the owner of the data folder. It needs no credential. */
export function ownerApi({ auth, log, ...options }: OwnerOptions) {
  const nextRequestId = requestIds()
  const context = {
    ...options,
    access: auth.access,
    cookies: new SessionCookies(() => 'http://localhost'),
    authenticate: () => OWNER,
    addressOf: () => 'socket',
    bodies: openBodies(BODY_LIMITS),
    sourceOf: (request: Request) => ({ request, client: undefined }),
  }
  return new Elysia()
    .use(errors(log, nextRequestId))
    .use(requestLog({ log, nextRequestId, addressOf: context.addressOf }))
    .use(adminApi(context))
}
