import type { Authenticator } from '../../auth/authenticator.ts'
import { newSecret } from '../../auth/secrets.ts'
import type { Identity } from '../../domain/access.ts'
import type { Write } from '../../domain/caller.ts'
import type { Metadata } from '../../metadata/metadata.ts'
import { registryError } from '../../oci/error.ts'

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
      const identity = await authenticator.authenticatePassword(name, password, caller.address)
      const { account, credential } = identity
      if (account === undefined || credential !== undefined)
        throw registryError(
          'UNAUTHORIZED',
          'sign in with a password: a session cannot be started with a token',
        )
      const { secret, hash } = newSecret()
      const expiresAt = at + SESSION_SECONDS * 1000
      const made = { caller: { ...caller, account }, at, of: account, id: crypto.randomUUID() }
      await metadata.write('addCredential', { ...made, kind, name: kind, hash, expiresAt, scope: null })
      try {
        // Check again: a password that changed meanwhile has ended all earlier sessions, but not this one.
        await authenticator.authenticatePassword(name, password, caller.address)
      } catch (error) {
        await metadata.write('removeCredential', { ...made, kind })
        throw error
      }
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
