/*
 * Accounts are who may do what: users sign in with a password, robots (`owner+name`) with a token, and groups collect
 * both. Grants add up, a robot can do no more than its owner, and each change records its act in the audit log in the same
 * transaction. Everything is in the database, secrets only as hashes; only the first password may be in a file.
 */
import { type Caller, ownerOf, SYSTEM, type Write } from '../access/access.ts'
import type { Config } from '../config/schema.ts'
import type { Metadata } from '../database/metadata.ts'
import { formatCursor, type ListPage, type PageQuery, parseCursor, readPage } from '../http/list-page.ts'
import { RegistryError, registryError } from '../oci/error.ts'
import type { Auth } from './authenticator.ts'
import { registryTokens, sessions, signingKeys, tokens } from './credentials.ts'
import { grants } from './grants.ts'
import type { PasswordFile } from './passwords.ts'
import type { Notices } from './sign-ins.ts'
import type { AccountRow, ActDetail, NoticeKind } from './store.ts'

declare module '../http/controller.ts' {
  interface AdminContext {
    accounts: AccountServices
  }
}

/** The services for accounts: which exist, how they sign in, and what they may do. One instance per data folder. */
export type AccountServices = ReturnType<typeof accountServices>

/**
 * @param passwordFile the file with the first account's password, which is removed when the password changes
 * @param now returns milliseconds since 1970
 */
export function accountServices(options: {
  metadata: Metadata
  config: Config
  auth: Auth
  passwordFile: PasswordFile
  now: () => number
}) {
  const { metadata, config, auth, passwordFile, now } = options
  const { access, authenticator, identities } = auth
  const guarded = access.isOpen ? refuseStrangers(metadata) : metadata
  return {
    users: users(guarded, auth, passwordFile),
    robots: robots(guarded),
    groups: groups(guarded),
    grants: grants({ metadata: guarded, access, identities, settings: config.grants }),
    tokens: tokens(guarded),
    sessions: sessions(guarded, authenticator),
    registryTokens: registryTokens(guarded, auth, now),
    signingKeys: signingKeys(guarded),
    audit: audit(metadata, auth.notices),
  }
}

/** What users and robots have in common. Changes throw NOT_FOUND and PRECONDITION_FAILED. */
function accountsOf(metadata: Metadata, kind: AccountRow['kind']) {
  return {
    /** Lists accounts by name: all, or those of one owner. */
    list: (query: PageQuery, owner?: string) =>
      readPage(
        query,
        (limit) => metadata.accounts.list(kind, query.cursor ?? '', limit, owner),
        ({ name }) => name,
      ),

    /** Throws NOT_FOUND. */
    get(name: string): AccountRow {
      const row = metadata.accounts.find(name)
      if (row?.kind === kind) return row
      throw registryError('NOT_FOUND', `there is no ${kind} ${name}`)
    },

    /** Deletes an account with its robots, tokens and grants. */
    async delete(act: Write, name: string): Promise<void> {
      await metadata.write('removeAccount', { ...act, name, kind })
    },
  }
}

/** A change of a user. Omitted fields stay as they are. */
interface UserChange {
  password?: string
  /** The current password. A token or a session needs it to change the password of its own account. */
  currentPassword?: string
  isAdmin?: boolean
  disabled?: boolean
}

/** The password, or a bcrypt hash of it as in htpasswd. */
type NewUser = { isAdmin: boolean; currentPassword?: string } & (
  | { password: string }
  | { passwordHash: string }
)

/** Names with another meaning: subjects of grants, and the account that automatic changes are recorded under. */
const RESERVED: readonly (string | undefined)[] = ['anonymous', 'authenticated', SYSTEM.account]

/** Users. Changes throw CONFLICT when they would leave no server admin. */
function users(
  metadata: Metadata,
  { passwords, attempts, authenticator }: Pick<Auth, 'passwords' | 'attempts' | 'authenticator'>,
  passwordFile: PasswordFile,
) {
  const kind = 'user'
  const all = accountsOf(metadata, kind)
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
    ...all,

    /**
     * Creates a user, or gives an existing one this password and this right. Returns whether it was created. Throws
     * REQUEST_INVALID for a reserved name, a bad password, or a hash that is not bcrypt.
     */
    async put(act: Write, name: string, { isAdmin, currentPassword, ...secret }: NewUser): Promise<boolean> {
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

    /**
     * Changes a user. A new password, or disabling the user, ends sessions and refresh tokens. Throws REQUEST_INVALID
     * for a bad password.
     */
    async change(
      act: Write,
      name: string,
      { password, currentPassword, ...flags }: UserChange,
    ): Promise<void> {
      if (password !== undefined) await checkCurrent(act, name, currentPassword)
      const passwordHash = password === undefined ? undefined : await passwords.hashNew(password)
      await metadata.write('changeAccount', { ...act, name, kind, change: { ...flags, passwordHash } })
      if (password !== undefined) passwordFile.removeFor(name)
    },

    /** Clears the failed logins of a user, so that they can sign in again immediately. */
    async unlock({ caller, at }: Write, name: string): Promise<void> {
      all.get(name)
      attempts.unlock(name)
      await metadata.write('noteAct', { caller, at, action: 'user.unlock', target: name })
    },

    async delete(act: Write, name: string): Promise<void> {
      await all.delete(act, name)
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

function robots(metadata: Metadata) {
  const kind = 'robot'
  return {
    ...accountsOf(metadata, kind),

    /** Creates a robot unless it exists, and returns whether it did. Throws NOT_FOUND when its owner does not exist. */
    async put(act: Write, name: string): Promise<boolean> {
      const robot = { name, kind, owner: ownerOf(name), isAdmin: false } as const
      return (await metadata.write('putAccount', { ...act, ...robot })).isNew
    },

    async change(act: Write, name: string, change: { disabled: boolean }): Promise<void> {
      await metadata.write('changeAccount', { ...act, name, kind, change })
    },
  }
}

/** Groups of accounts. Changes throw NOT_FOUND and PRECONDITION_FAILED. */
function groups(metadata: Metadata) {
  return {
    /** Lists the names of groups. */
    list: (query: PageQuery) =>
      readPage(query, (limit) => metadata.accounts.listGroups(query.cursor ?? '', limit), String),

    /** Returns a group with its members, users and robots in byte order. */
    get(name: string) {
      const group = metadata.accounts.findGroup(name)
      if (group === undefined) throw registryError('NOT_FOUND', `there is no group ${name}`)
      return { name, members: metadata.accounts.membersOf(group.id), version: group.version }
    },

    /** Creates a group unless it exists, and returns whether it did. */
    put: (act: Write, name: string): Promise<boolean> => metadata.write('putGroup', { ...act, name }),

    /** Adds and removes members. */
    async change(act: Write, name: string, members: { add: string[]; remove: string[] }): Promise<void> {
      await metadata.write('changeMembers', { ...act, name, ...members })
    },

    /** Deletes a group with its grants. */
    async delete(act: Write, name: string): Promise<void> {
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

const ACTIONS: Record<NoticeKind, string> = {
  refused: 'denied',
  'signed-in': 'sign-in',
  failed: 'sign-in.failed',
}

/** The audit log: who changed accounts and grants, who was refused or signed in, and from which address. */
function audit(metadata: Metadata, notices: Notices) {
  return {
    /** Lists entries, newest first. Those that changed nothing are kept apart, so that they cannot displace changes. */
    async list(query: PageQuery, kind: 'change' | NoticeKind = 'change'): Promise<ListPage<AuditEntry>> {
      const [before = 0] = parseCursor(query.cursor, Number.MAX_SAFE_INTEGER)
      await notices.flush()
      const read = async (limit: number): Promise<AuditEntry[]> => {
        if (kind === 'change') {
          const acts = await metadata.audit.list(before, limit)
          return acts.map(({ detail, ...row }) => ({ ...row, detail: present(JSON.parse(detail)) }))
        }
        const rows = await metadata.audit.notices.list(kind, before, limit)
        const action = ACTIONS[kind]
        return rows.map(({ account, ...row }) => ({ ...row, action, account: account || null, detail: {} }))
      }
      return await readPage(query, read, ({ id }) => formatCursor(id))
    },

    /** Records that a request of an account was denied. The write happens in the background. */
    noteRefusal: (caller: Caller, target: string): void =>
      notices.note({ ...caller, kind: 'refused', target }),
  }
}

function present(detail: ActDetail): AuditEntry['detail'] {
  return Object.fromEntries(
    Object.entries(detail).flatMap(([name, value]) => (value == null ? [] : [[name, value]])),
  )
}
