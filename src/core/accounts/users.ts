import type { Auth } from '../../auth/auth.ts'
import type { PasswordFile } from '../../auth/password-file.ts'
import { SYSTEM, type Write } from '../../domain/access/caller.ts'
import type { Metadata } from '../../metadata/metadata.ts'
import { RegistryError, registryError } from '../../oci/error.ts'
import { type ListPage, type PageQuery, readPage } from '../page.ts'

/** Somebody who signs in with a password. Times are milliseconds since 1970. */
export interface User {
  name: string
  isAdmin: boolean
  createdAt: number
  disabledAt: number | null
  version: number
}

/** A change of a user. Omitted fields stay as they are. */
export interface UserChange {
  password?: string
  /** The current password. A token or a session needs it to change the password of its own account. */
  currentPassword?: string
  isAdmin?: boolean
  disabled?: boolean
}

/** Users. Changes throw PRECONDITION_FAILED, and CONFLICT when they would leave no server admin. */
export interface Users {
  /** Lists users by name. */
  list(query: PageQuery): Promise<ListPage<User>>
  /** Throws NOT_FOUND. */
  get(name: string): Promise<User>
  /**
   * Creates a user, or gives an existing one this password and this right. Returns whether it was created. Throws
   * REQUEST_INVALID for a reserved name, a bad password, or a hash that is not bcrypt.
   */
  put(act: Write, name: string, user: NewUser): Promise<boolean>
  /**
   * Changes a user. A new password, or disabling the user, ends sessions and refresh tokens. Throws NOT_FOUND, and
   * REQUEST_INVALID for a bad password.
   */
  change(act: Write, name: string, change: UserChange): Promise<void>
  /** Clears the failed logins of a user, so that they can sign in again immediately. Throws NOT_FOUND. */
  unlock(act: Write, name: string): Promise<void>
  /** Deletes a user with its robots, tokens and grants. Throws NOT_FOUND. */
  delete(act: Write, name: string): Promise<void>
}

/** The password, or a bcrypt hash of it as in htpasswd. */
export type NewUser = { isAdmin: boolean; currentPassword?: string } & (
  | { password: string }
  | { passwordHash: string }
)

export interface UsersOptions {
  metadata: Metadata
  auth: Pick<Auth, 'passwords' | 'attempts' | 'authenticator'>
  passwordFile: PasswordFile
}

const kind = 'user'

/** Names with another meaning: subjects of grants, and the account that automatic changes are recorded under. */
const RESERVED: readonly (string | undefined)[] = ['anonymous', 'authenticated', SYSTEM.account]

export function users({ metadata, auth, passwordFile }: UsersOptions): Users {
  const { passwords, attempts, authenticator } = auth
  /** Prevents a thief of a token or a session from taking over the account permanently. */
  const checkCurrent = async ({ caller }: Write, name: string, password: string | undefined) => {
    if (caller.account !== name || caller.credential === undefined) return
    if (password === undefined) {
      throw registryError(
        'DENIED',
        'changing your own password with a token or a session requires currentPassword',
      )
    }
    const identity = await authenticator.authenticatePassword(name, password, caller.address).catch(deny)
    if (identity.credential !== undefined) throw wrongPassword()
  }
  return {
    list: (query) =>
      readPage(
        query,
        (limit) => metadata.accounts.list(kind, query.cursor ?? '', limit),
        ({ name }) => name,
      ),

    get: async (name) => getUser(metadata, name),

    async put(act, name, { isAdmin, currentPassword, ...secret }) {
      if (RESERVED.includes(name)) {
        const message = `the name ${name} is reserved for grants or the history: choose another`
        throw registryError('REQUEST_INVALID', message)
      }
      await checkCurrent(act, name, currentPassword)
      const passwordHash =
        'password' in secret
          ? await passwords.hashNew(secret.password)
          : passwords.checkImported(name, secret.passwordHash)
      const { isNew } = await metadata.write('putAccount', { ...act, name, kind, passwordHash, isAdmin })
      passwordFile.removeFor(name)
      return isNew
    },

    async change(act, name, { password, currentPassword, ...flags }) {
      if (password !== undefined) await checkCurrent(act, name, currentPassword)
      const passwordHash = password === undefined ? undefined : await passwords.hashNew(password)
      await metadata.write('changeAccount', { ...act, name, kind, change: { ...flags, passwordHash } })
      if (password !== undefined) passwordFile.removeFor(name)
    },

    async unlock({ caller, at }, name) {
      getUser(metadata, name)
      attempts.unlock(name)
      await metadata.write('noteAct', { caller, at, action: 'user.unlock', target: name })
    },

    async delete(act, name) {
      await metadata.write('removeAccount', { ...act, name, kind })
      passwordFile.removeFor(name)
    },
  }
}

function wrongPassword() {
  return registryError('DENIED', 'currentPassword is wrong')
}

/** Turns UNAUTHORIZED into DENIED: the caller is signed in, and only the current password they sent is wrong. */
function deny(error: unknown): never {
  throw error instanceof RegistryError && error.status === 401 ? wrongPassword() : error
}

function getUser(metadata: Metadata, name: string): User {
  const row = metadata.accounts.find(name)
  if (row?.kind === kind) return row
  throw registryError('NOT_FOUND', `there is no user ${name}`)
}
