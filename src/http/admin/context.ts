import type { Auth } from '../../auth/auth.ts'
import type { AccountAct } from '../../metadata/accounts.ts'
import type { Metadata } from '../../metadata/metadata.ts'
import { registryError } from '../../oci/error.ts'
import type { Identity } from '../../registry/access.ts'

/** What the controllers of the admin API are made from. */
export interface AdminContext {
  metadata: Metadata
  now: () => number
  /** Who asks; throws UNAUTHORIZED. */
  authenticate: (request: Request) => Identity | Promise<Identity>
  addressOf: (request: Request) => string
  nextRequestId: () => string
  hashPassword: (password: string) => Promise<string>
  /** Told when an account has a new password. */
  onPasswordChanged: (account: string) => void
}

/** The context of a listener. */
export function adminContext(
  options: Pick<
    AdminContext,
    'metadata' | 'authenticate' | 'addressOf' | 'nextRequestId' | 'onPasswordChanged'
  > & { auth: Auth },
): AdminContext {
  const { auth, ...rest } = options
  return { ...rest, now: Date.now, hashPassword: (password) => auth.passwords.hashNew(password) }
}

/** One request to the admin API, after it is known who asks. */
export interface AdminRequest {
  identity: Identity
  /** Who asks and when, for the trail. */
  act(): AccountAct
  /** Throws unless a server admin asks. */
  requireAdmin(): void
  /** Throws unless this account itself, or a server admin, asks. */
  requireSelf(account: string): void
}

/** Finds out who asks; the admin API is not for anonymous. */
export async function adminRequest(context: AdminContext, request: Request): Promise<AdminRequest> {
  const identity = await context.authenticate(request)
  if (identity.account === undefined)
    throw registryError('UNAUTHORIZED', 'sign in with Basic, or a token as Bearer')
  const isWhole = identity.token === undefined && identity.limits.length === 0
  return {
    identity,
    act: () => ({
      caller: {
        account: identity.account,
        credential: identity.credential,
        address: context.addressOf(request),
        requestId: context.nextRequestId(),
      },
      at: context.now(),
    }),
    requireAdmin() {
      if (!identity.isAdmin || !isWhole) throw registryError('DENIED', 'only a server admin may do this')
    },
    requireSelf(account) {
      if (isWhole && (identity.isAdmin || identity.account === account)) return
      throw registryError('DENIED', `only ${account}, or a server admin, may do this`)
    },
  }
}
