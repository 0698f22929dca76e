import type { Authenticator } from '../../auth/authenticator.ts'
import { newSecret } from '../../auth/secrets.ts'
import type { Identity } from '../../domain/access/access.ts'
import type { Write } from '../../domain/access/caller.ts'
import type { Metadata } from '../../metadata/metadata.ts'
import { registryError } from '../../oci/error.ts'
import { addForPassword } from './password-credentials.ts'

/** How long a session lasts. */
export const SESSION_SECONDS = 12 * 3600

/** A browser that has signed in. */
export interface Session {
  identity: Identity
  /** What its cookie holds. */
  secret: string
  /** Milliseconds since 1970. */
  expiresAt: number
}

export interface Sessions {
  /** Signs in. Throws UNAUTHORIZED for a wrong password and TOOMANYREQUESTS while logins are rate-limited. */
  begin(act: Write, name: string, password: string): Promise<Session>
  /** Returns the session of a secret, or undefined when it has ended. */
  find(secret: string): Promise<Session | undefined>
  /** Signs out. */
  end(act: Write, session: Session): Promise<void>
}

export interface SessionsOptions {
  metadata: Metadata
  authenticator: Authenticator
}

const kind = 'session'

export function sessions({ metadata, authenticator }: SessionsOptions): Sessions {
  return {
    async begin(act, name, password) {
      const { caller, at } = act
      const verify = () => authenticator.authenticatePassword(name, password, caller.address)
      const identity = await verify()
      const { account, credential } = identity
      if (account === undefined || credential !== undefined)
        throw registryError(
          'UNAUTHORIZED',
          'sign in with a password: a session cannot be started with a token',
        )
      const { secret, hash } = newSecret()
      const expiresAt = at + SESSION_SECONDS * 1000
      const by = { caller: { ...caller, account }, at, of: account, id: crypto.randomUUID() }
      await addForPassword(metadata, { ...by, kind, name: kind, hash, expiresAt, scope: null }, verify)
      return { identity, secret, expiresAt }
    },

    async find(secret) {
      const found = authenticator.findSession(secret)
      return found && { ...found, secret }
    },

    async end(act, { identity: { account = '', credential = '' } }) {
      await metadata.write('removeCredential', { ...act, of: account, id: credential, kind })
    },
  }
}
