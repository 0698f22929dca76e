import { type Caller, SYSTEM, type Write } from '../access/access.ts'
import { ownerOf } from '../access/decision.ts'
import type { Config } from '../config/schema.ts'
import type { Metadata } from '../database/metadata.ts'
import { formatCursor, type ListPage, type PageQuery, parseCursor, readPage } from '../http/list-page.ts'
import { RegistryError, registryError } from '../oci/error.ts'
import type { ActDetail, AuditRow, NoticeKind, NoticeRow } from './audit-rows.ts'
import type { Auth } from './authenticator.ts'
import {
  type RegistryTokens,
  registryTokens,
  type Sessions,
  type SigningKeys,
  sessions,
  signingKeys,
  type Tokens,
  tokens,
} from './credentials.ts'
import { type Grants, grants } from './grants.ts'
import type { PasswordFile } from './passwords.ts'
import type { Notices } from './sign-ins.ts'

declare module '../http/controller.ts' {
  interface AdminContext {
    accounts: AccountServices
  }
}

/** The services for accounts: which exist, how they sign in, and what they may do. One instance per data folder. */
export interface AccountServices {
  users: Users
  robots: Robots
  groups: Groups
  grants: Grants
  tokens: Tokens
  sessions: Sessions
  registryTokens: RegistryTokens
  signingKeys: SigningKeys
  audit: Audit
}

export interface AccountOptions {
  metadata: Metadata
  config: Config
  auth: Auth
  /** The file with the first account's password, which is removed when the password changes. */
  passwordFile: PasswordFile
  /** Milliseconds since 1970. */
  now: () => number
}

export function accountServices({
  config,
  auth,
  now,
  passwordFile,
  ...options
}: AccountOptions): AccountServices {
  const metadata = auth.access.isOpen ? refuseStrangers(options.metadata) : options.metadata
  return {
    users: users({ metadata, auth, passwordFile }),
    robots: robots(metadata),
    groups: groups(metadata),
    grants: grants({ metadata, access: auth.access, identities: auth.identities, settings: config.grants }),
    tokens: tokens(metadata),
    sessions: sessions({ metadata, authenticator: auth.authenticator }),
    registryTokens: registryTokens({
      metadata,
      access: auth.access,
      tokens: auth.tokens,
      noteUse: () => auth.authenticator.noteUse(),
      now,
    }),
    signingKeys: signingKeys(metadata),
    audit: audit(options.metadata, auth.notices),
  }
}

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
interface Users {
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

const userKind = 'user'

/** Names with another meaning: subjects of grants, and the account that automatic changes are recorded under. */
const RESERVED: readonly (string | undefined)[] = ['anonymous', 'authenticated', SYSTEM.account]

function users({ metadata, auth, passwordFile }: UsersOptions): Users {
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
        (limit) => metadata.accounts.list(userKind, query.cursor ?? '', limit),
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
      const { isNew } = await metadata.write('putAccount', {
        ...act,
        name,
        kind: userKind,
        passwordHash,
        isAdmin,
      })
      passwordFile.removeFor(name)
      return isNew
    },

    async change(act, name, { password, currentPassword, ...flags }) {
      if (password !== undefined) await checkCurrent(act, name, currentPassword)
      const passwordHash = password === undefined ? undefined : await passwords.hashNew(password)
      await metadata.write('changeAccount', {
        ...act,
        name,
        kind: userKind,
        change: { ...flags, passwordHash },
      })
      if (password !== undefined) passwordFile.removeFor(name)
    },

    async unlock({ caller, at }, name) {
      getUser(metadata, name)
      attempts.unlock(name)
      await metadata.write('noteAct', { caller, at, action: 'user.unlock', target: name })
    },

    async delete(act, name) {
      await metadata.write('removeAccount', { ...act, name, kind: userKind })
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
  if (row?.kind === userKind) return row
  throw registryError('NOT_FOUND', `there is no user ${name}`)
}

/** A program that signs in with tokens; its name is `owner+robot`. Times are milliseconds since 1970. */
export interface Robot {
  name: string
  createdAt: number
  disabledAt: number | null
  version: number
}

/** Robots. Changes throw PRECONDITION_FAILED when their condition does not hold. */
interface Robots {
  /** Lists all robots, or those of one owner, by name. */
  list(query: PageQuery, owner?: string): Promise<ListPage<Robot>>
  /** Throws NOT_FOUND. */
  get(name: string): Promise<Robot>
  /** Creates a robot unless it exists, and returns whether it did. Throws NOT_FOUND when its owner does not exist. */
  put(act: Write, name: string): Promise<boolean>
  /** Throws NOT_FOUND. */
  change(act: Write, name: string, change: { disabled: boolean }): Promise<void>
  /** Deletes a robot with its tokens and grants. Throws NOT_FOUND. */
  delete(act: Write, name: string): Promise<void>
}

const robotKind = 'robot'

function robots(metadata: Metadata): Robots {
  return {
    list: (query, owner) =>
      readPage(
        query,
        (limit) => metadata.accounts.list(robotKind, query.cursor ?? '', limit, owner),
        ({ name }) => name,
      ),

    async get(name) {
      const row = metadata.accounts.find(name)
      if (row?.kind === robotKind) return row
      throw registryError('NOT_FOUND', `there is no robot ${name}`)
    },

    async put(act, name) {
      const robot = { name, kind: robotKind, owner: ownerOf(name), isAdmin: false } as const
      return (await metadata.write('putAccount', { ...act, ...robot })).isNew
    },

    async change(act, name, change) {
      await metadata.write('changeAccount', { ...act, name, kind: robotKind, change })
    },

    async delete(act, name) {
      await metadata.write('removeAccount', { ...act, name, kind: robotKind })
    },
  }
}

export interface Group {
  name: string
  /** Users and robots, in byte order. */
  members: string[]
  version: number
}

/** Groups of accounts. Changes throw PRECONDITION_FAILED when their condition does not hold. */
interface Groups {
  /** Lists the names of groups. */
  list(query: PageQuery): Promise<ListPage<string>>
  /** Throws NOT_FOUND. */
  get(name: string): Promise<Group>
  /** Creates a group unless it exists, and returns whether it did. */
  put(act: Write, name: string): Promise<boolean>
  /** Adds and removes members. Throws NOT_FOUND for a group or an account that does not exist. */
  change(act: Write, name: string, members: { add: string[]; remove: string[] }): Promise<void>
  /** Deletes a group with its grants. Throws NOT_FOUND. */
  delete(act: Write, name: string): Promise<void>
}

function groups(metadata: Metadata): Groups {
  return {
    list: (query) =>
      readPage(query, (limit) => metadata.accounts.listGroups(query.cursor ?? '', limit), String),

    async get(name) {
      const group = metadata.accounts.findGroup(name)
      if (group === undefined) throw registryError('NOT_FOUND', `there is no group ${name}`)
      return { name, members: metadata.accounts.membersOf(group.id), version: group.version }
    },

    async put(act, name) {
      return await metadata.write('putGroup', { ...act, name })
    },

    async change(act, name, members) {
      await metadata.write('changeMembers', { ...act, name, ...members })
    },

    async delete(act, name) {
      await metadata.write('removeGroup', { ...act, name })
    },
  }
}

/**
 * Refuses changes of accounts over the network when access is `open`. Nobody signs in then, so anyone who reaches the
 * server could otherwise create an admin or a token that still works after accounts are switched on. Commands on the
 * host act as its owner and remain allowed.
 */
function refuseStrangers(metadata: Metadata): Metadata {
  const write: Metadata['write'] = (name, args, moved) => {
    const { caller } = args as { caller?: Caller }
    if (caller?.account !== undefined) return metadata.write(name, args, moved)
    const message =
      'with access "open", accounts and grants are changed only by commands on the host of the server'
    return Promise.reject(registryError('DENIED', message))
  }
  return { ...metadata, write }
}

/** A part of the log. Entries that changed nothing are kept apart, so that they cannot displace changes. */
export type AuditKind = 'change' | NoticeKind

/** An entry of the audit log: an act on accounts, grants or the server, a refusal, or a sign-in. */
export interface AuditEntry {
  id: number
  /** Milliseconds since 1970. */
  at: number
  /** For refusals and sign-ins: the first time and the count. Repeats within an hour share one entry. */
  firstAt?: number
  count?: number
  action: string
  target: string
  detail: Record<string, string | number | boolean | string[]>
  account: string | null
  credential: string | null
  address: string
  requestId: string
}

/** The audit log: who changed accounts and grants, who was refused or signed in, and from which address. */
export interface Audit {
  /** Lists entries of a kind, newest first. */
  list(query: PageQuery, kind?: AuditKind): Promise<ListPage<AuditEntry>>
  /** Records that a request of an account was denied. The write happens in the background. */
  noteRefusal(caller: Caller, target: string): void
}

const ACTIONS: Record<NoticeKind, string> = {
  refused: 'denied',
  'signed-in': 'sign-in',
  failed: 'sign-in.failed',
}

function audit(metadata: Metadata, notices: Notices): Audit {
  return {
    async list(query, kind = 'change') {
      const [before = 0] = parseCursor(query.cursor, Number.MAX_SAFE_INTEGER)
      await notices.flush()
      const read = async (limit: number): Promise<AuditEntry[]> =>
        kind === 'change'
          ? (await metadata.audit.list(before, limit)).map(toEntry)
          : (await metadata.audit.notices.list(kind, before, limit)).map(noticeToEntry)
      return await readPage(query, read, ({ id }) => formatCursor(id))
    },

    noteRefusal: (caller, target) => notices.note({ ...caller, kind: 'refused', target }),
  }
}

function noticeToEntry({ kind, account, ...row }: NoticeRow): AuditEntry {
  return { ...row, action: ACTIONS[kind], account: account === '' ? null : account, detail: {} }
}

function toEntry({ detail, ...row }: AuditRow): AuditEntry {
  const parts = Object.entries(JSON.parse(detail) as ActDetail)
  const there = parts.flatMap(([name, value]) => (value == null ? [] : [[name, value]]))
  return { ...row, detail: Object.fromEntries(there) }
}
