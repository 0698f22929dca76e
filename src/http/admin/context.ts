import { Elysia } from 'elysia'
import type { Passwords } from '../../auth/passwords.ts'
import type { AccountAct } from '../../metadata/accounts.ts'
import type { Metadata } from '../../metadata/metadata.ts'
import { registryError } from '../../oci/error.ts'
import type { Identity } from '../../registry/access.ts'
import { body } from '../body.ts'
import type { BodyReader } from '../body-reader.ts'

/** What the controllers of the admin API are made from. */
export interface AdminContext {
  metadata: Metadata
  passwords: Passwords
  now: () => number
  /** Who asks; throws UNAUTHORIZED. */
  authenticate: (request: Request) => Identity | Promise<Identity>
  addressOf: (request: Request) => string
  bodies: BodyReader
  /** Told when an account has a new password, or is gone. */
  onPasswordChanged: (account: string) => void
}

/** Who asks the admin API, and with what right. */
export interface Asker {
  account: string
  isAdmin: boolean
  /** Throws DENIED unless a server admin asks; answers who asks and when, for the trail. */
  admin(): AccountAct
  /** The same for what the account itself may do, too: a user's robots are the user's. */
  owner(account: string): AccountAct
}

/** The beginning of each controller: who asks, before anything is answered. Anonymous may ask nothing. */
export function controller(context: AdminContext, noun: string, prefix: string) {
  return new Elysia({ name: noun, prefix, tags: ['accounts'] })
    .use(body(context.bodies, 'application/json'))
    .derive({ as: 'local' }, async ({ request, set }) => {
      const identity = await context.authenticate(request)
      return { asker: askerOf(context, request, identity, String(set.headers['x-request-id'])) }
    })
}

/** The user that an account belongs to: a robot's owner, or itself. */
export function ownerOf(account: string): string {
  return account.split('+', 1)[0] ?? account
}

function askerOf(context: AdminContext, request: Request, identity: Identity, requestId: string): Asker {
  const { account, credential, isAdmin } = identity
  if (account === undefined) throw registryError('UNAUTHORIZED', 'sign in with Basic, or a token as Bearer')
  // A credential that is narrowed to some repositories is none for accounts.
  const isWhole = identity.token === undefined && identity.limits.length === 0
  const act = (): AccountAct => ({
    caller: { account, credential, address: context.addressOf(request), requestId },
    at: context.now(),
  })
  const refuse = (who: string) => {
    const { pathname } = new URL(request.url)
    void context.metadata
      .write('noteRefusal', { ...act(), action: 'refused', target: `${request.method} ${pathname}` })
      .catch(() => {})
    return registryError('DENIED', `only ${who} may do this`)
  }
  return {
    account,
    isAdmin: isAdmin && isWhole,
    admin() {
      if (isAdmin && isWhole) return act()
      throw refuse('a server admin')
    },
    owner(name) {
      if (isWhole && (isAdmin || account === ownerOf(name))) return act()
      throw refuse(`${ownerOf(name)}, or a server admin,`)
    },
  }
}
