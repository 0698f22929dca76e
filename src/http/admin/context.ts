import { Elysia } from 'elysia'
import type { Authenticator } from '../../auth/authenticator.ts'
import type { Identities } from '../../auth/identities.ts'
import type { Passwords } from '../../auth/passwords.ts'
import type { Access, Identity } from '../../domain/access.ts'
import { askerOf } from '../../domain/asker.ts'
import type { Metadata } from '../../metadata/metadata.ts'
import { body } from '../request/body.ts'
import type { BodyReader } from '../request/body-reader.ts'
import { refuseForeign, type SessionCookies } from '../session-cookie.ts'
import type { Changes } from './changes.ts'
import type { Content } from './services.ts'

/** What the controllers of the admin API are made from. */
export interface AdminContext {
  metadata: Metadata
  content: Content
  passwords: Passwords
  authenticator: Authenticator
  cookies: SessionCookies
  now: () => number
  access: Access
  identities: Identities
  /** Who asks; throws UNAUTHORIZED. */
  authenticate: (request: Request) => Identity | Promise<Identity>
  addressOf: (request: Request) => string
  bodies: BodyReader
  /** Orders the changes of each resource. One for a data folder. */
  changes: Changes
  /** Told when an account has a new password, or is gone. */
  onPasswordChanged: (account: string) => void
}

/** Answers are for who asked: no cache in between hands them to another, and a browser asks whether they still hold. */
const OWN = {
  'cache-control': 'private, no-cache',
  vary: 'authorization, cookie',
  'x-content-type-options': 'nosniff',
}

/**
 * The beginning of each controller: `asker` is who asks, and the noun is the tag of its routes in the OpenAPI
 * document. What a route's `operation` declares as its access is checked after this, and before all else.
 */
export function controller(context: AdminContext, noun: string, prefix: string) {
  return new Elysia({ name: noun, prefix, tags: [noun] })
    .use(body(context.bodies, 'application/json'))
    .derive({ as: 'local' }, async ({ request, set }) => {
      Object.assign(set.headers, OWN)
      refuseForeign(request)
      const identity = await context.authenticate(request)
      const { account, credential } = identity
      const requestId = String(set.headers['x-request-id'])
      const act = () => ({
        caller: { account, credential, address: context.addressOf(request), requestId },
        at: context.now(),
      })
      const onRefused = () => {
        const target = `${request.method} ${new URL(request.url).pathname}`
        void context.metadata.write('noteRefusal', { ...act(), action: 'refused', target }).catch(() => {})
      }
      return { asker: askerOf({ access: context.access, identity, act, onRefused }) }
    })
}
