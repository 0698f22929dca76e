import type { Access } from '../domain/access/access.ts'
import type { Metadata } from '../metadata/metadata.ts'
import { Attempts } from './attempts.ts'
import { Authenticator, type AuthenticatorOptions } from './authenticator.ts'
import { grantedAccess } from './granted-access.ts'
import { Identities } from './identities.ts'
import { Notices } from './notices.ts'
import { openAccess } from './open-access.ts'
import { Passwords } from './passwords.ts'
import { SignedTokens } from './signed-tokens.ts'

/** Authentication and authorization. */
export interface Auth {
  access: Access
  authenticator: Authenticator
  passwords: Passwords
  tokens: SignedTokens
  identities: Identities
  attempts: Attempts
  notices: Notices
}

/** `accounts` requires credentials and grants. `open` allows everyone everything. */
export type AccessMode = 'accounts' | 'open'

/** Builds the services for a data folder. The first call creates its signing key. */
export async function openAuth(
  metadata: Metadata,
  mode: AccessMode,
  now: () => number,
  onSignIn: AuthenticatorOptions['onSignIn'] = () => {},
): Promise<Auth> {
  const passwords = new Passwords({ bcryptCosts: rememberedCosts(metadata) })
  const tokens = await SignedTokens.open(metadata, now())
  const identities = new Identities(metadata)
  const attempts = new Attempts(now)
  const notices = new Notices(metadata, now)
  const services = { metadata, identities, passwords, attempts, notices, tokens }
  const authenticator = new Authenticator({ ...services, now, onSignIn })
  const access = mode === 'open' ? openAccess : grantedAccess
  return { access, authenticator, passwords, tokens, identities, attempts, notices }
}

/** Returns a cached reader of bcrypt costs. They are read again when accounts change. */
function rememberedCosts(metadata: Metadata): () => readonly string[] {
  let costs: readonly string[] | undefined
  metadata.onStale('accounts', () => {
    costs = undefined
  })
  return () => {
    costs ??= metadata.accounts.bcryptCosts()
    return costs
  }
}
