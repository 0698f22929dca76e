import type { Auth } from '../../auth/auth.ts'
import type { PasswordFile } from '../../auth/password-file.ts'
import { SYSTEM, type Write } from '../../domain/caller.ts'
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

/** What a user may be changed in; what is left out stays. */
export interface UserChange {
  password?: string
  /** The password so far. A token or a session changes the password of its own account only with it. */
  currentPassword?: string
  isAdmin?: boolean
  disabled?: boolean
}

/** Users. Changes throw PRECONDITION_FAILED, and CONFLICT when no server admin would be left. */
export interface Users {
  /** Lists users by name. */
  list(query: PageQuery): Promise<ListPage<User>>
  /** Throws NOT_FOUND. */
  get(name: string): Promise<User>
  /**
   * Adds a user; one who exists gets this password and right instead. Throws REQUEST_INVALID for a reserved name, a bad
   * password, or a hash that is not bcrypt.
   */
  put(act: Write, name: string, user: NewUser): Promise<void>
  /** A new password ends sessions and refresh tokens; so does disabling. Throws NOT_FOUND, and REQUEST_INVALID for a bad password. */
  change(act: Write, name: string, change: UserChange): Promise<void>
  /** Forgets the wrong passwords that keep a user waiting. Throws NOT_FOUND. */
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

/** Names that mean something else: subjects of grants, and who acts in the history when nobody has asked. */
const RESERVED: readonly (string | undefined)[] = ['anonymous', 'authenticated', SYSTEM.account]

export function users({ metadata, auth, passwordFile }: UsersOptions): Users {
  const { passwords, attempts, authenticator } = auth
  /** Who finds a token, or takes over a session, shall not take over the account for good. */
  const checkCurrent = async ({ caller }: Write, name: string, password: string | undefined) => {
    if (caller.account !== name || caller.credential === undefined) return
    if (password === undefined) {
      throw registryError('DENIED', 'a token or a session changes its own password only with currentPassword')
    }
    const identity = await authenticator.authenticatePassword(name, password, caller.address).catch(deny)
    if (identity.credential !== undefined) throw wrongPassword()
  }
  return {
    list: (query) =>
      readPage(
        query,
        (limit) => metadata.accounts.list(kind, query.last ?? '', limit),
        ({ name }) => name,
      ),

    get: async (name) => getUser(metadata, name),

    async put(act, name, { isAdmin, currentPassword, ...secret }) {
      if (RESERVED.includes(name)) {
        const message = `the name ${name} is reserved: it has a meaning in grants or in the history; choose another`
        throw registryError('REQUEST_INVALID', message)
      }
      await checkCurrent(act, name, currentPassword)
      const passwordHash =
        'password' in secret
          ? await passwords.hashNew(secret.password)
          : passwords.checkImported(name, secret.passwordHash)
      await metadata.write('putAccount', { ...act, name, kind, passwordHash, isAdmin })
      passwordFile.removeFor(name)
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

/** Who asks is signed in: only the password that was sent besides is wrong. */
function deny(error: unknown): never {
  throw error instanceof RegistryError && error.status === 401 ? wrongPassword() : error
}

function getUser(metadata: Metadata, name: string): User {
  const row = metadata.accounts.find(name)
  if (row?.kind === kind) return row
  throw registryError('NOT_FOUND', `there is no user ${name}`)
}
