import { and, asc, eq, gt, inArray, isNull, lt, lte, ne, or, sql } from 'drizzle-orm'
import type { Caller, Write } from '../access/access.ts'
import {
  account,
  accountGroup,
  type auditNotice,
  credential,
  groupMember,
  installation,
  signingKey,
} from '../database/account-schema.ts'
import type { Db } from '../database/database.ts'
import { checkVersion, type VersionOfCall } from '../database/operation.ts'
import {
  deleteBy,
  insertInto,
  insertNew,
  number,
  pageBy,
  selectBy,
  statement,
  text,
  updateBy,
} from '../database/statement.ts'
import { registryError } from '../oci/error.ts'

declare module '../database/metadata.ts' {
  interface Reads {
    accounts: ReturnType<typeof accountReads>
    credentials: ReturnType<typeof credentialReads>
  }
  interface Operations
    extends ReturnType<typeof installationWrites>,
      ReturnType<typeof accountWrites>,
      ReturnType<typeof groupWrites>,
      ReturnType<typeof credentialWrites> {}
}

/** An act on accounts or grants: its name, its target and details, never a secret. Undefined details are omitted. */
export interface Act {
  action: string
  target: string
  detail?: ActDetail
}

export type ActDetail = Record<string, string | number | boolean | string[] | null | undefined>

/** Adds an act to the audit log, in the transaction of the change. */
export type RecordAct = (act: Act, caller: Caller, at: number) => void

export type NoticeKind = Notice['kind']

/** A denial or a sign-in, which happened `count` times. */
export type Notice = Omit<typeof auditNotice.$inferSelect, 'id' | 'firstAt'>

export type AccountRow = typeof account.$inferSelect
type GroupRow = typeof accountGroup.$inferSelect

/** Reads of accounts and groups. */
export function accountReads(db: Db) {
  const byName = selectBy(db, account, 'name')
  const byId = selectBy(db, account, 'id')
  const all = pageBy(db, account, ['name', 'asc'], 'kind')
  const owned = pageBy(db, account, ['name', 'asc'], 'kind', 'ownerId')
  const groups = selectBy(db, accountGroup, 'name')
  const groupById = selectBy(db, accountGroup, 'id')
  const groupPage = pageBy(db, accountGroup, ['name', 'asc'])
  const memberships = selectBy(db, groupMember, 'accountId')
  const members = statement(db, { groupId: number }, ({ groupId }) =>
    db
      .select({ name: account.name })
      .from(groupMember)
      .innerJoin(account, eq(account.id, groupMember.accountId))
      .where(eq(groupMember.groupId, groupId))
      .orderBy(asc(account.name)),
  )
  const costs = statement(
    db,
    {},
    () => sql<{ cost: string }>`select distinct substr(password_hash, 5, 2) as cost from account
      where password_hash glob '$2[aby]$*'`,
  )
  return {
    find: (name: string): AccountRow | undefined => byName.get({ name }),
    findById: (id: number): AccountRow | undefined => byId.get({ id }),

    /** Returns at most `limit` accounts of a kind after the name `last`, in byte order: all, or those of an owner. */
    list(kind: AccountRow['kind'], last: string, limit: number, owner?: string): AccountRow[] {
      if (owner === undefined) return all.all({ kind, last, limit })
      const ownerId = byName.get({ name: owner })?.id ?? 0
      return owned.all({ kind, ownerId, last, limit })
    },

    /** Returns the costs of the bcrypt hashes that accounts have, two digits each. */
    bcryptCosts: (): string[] => costs.all({}).map(({ cost }) => cost),

    /** Returns the name of the group if it exists. */
    groupName: (id: number): string | undefined => groupById.get({ id })?.name,

    groupsOf: (accountId: number): number[] => memberships.all({ accountId }).map(({ groupId }) => groupId),

    findGroup: (name: string): GroupRow | undefined => groups.get({ name }),

    /** Returns the names of at most `limit` groups after the name `last`. */
    listGroups: (last: string, limit: number): string[] =>
      groupPage.all({ last, limit }).map(({ name }) => name),

    /** Returns the names of a group's members, in byte order. */
    membersOf: (groupId: number): string[] => members.all({ groupId }).map(({ name }) => name),
  }
}

/** A write of one account. It throws PRECONDITION_FAILED when its condition does not hold. */
export interface AccountWrite extends Write {
  name: string
  kind: AccountRow['kind']
}

/** Whether the account is new, and which accounts are stale. */
type AccountPut = { isNew: boolean } & Partial<ReturnType<ReturnType<typeof staleAccounts>>>

/** Changes of an account. Omitted fields stay as they are. */
export interface AccountChange {
  passwordHash?: string | undefined
  isAdmin?: boolean | undefined
  disabled?: boolean | undefined
}

interface AccountParts {
  recordAct: RecordAct
  version: VersionOfCall
  /** Keeps grants to an account with its robots, or to a group, that is removed. */
  outlive: { account(id: number): void; group(id: number): void }
}

/** Writes of accounts, each for one call of the writer. */
export function accountWrites(db: Db, parts: AccountParts) {
  const { recordAct, version, outlive } = parts
  const changed = staleAccounts(db)
  const ofKind = selectBy(db, account, 'name', 'kind')
  const insert = insertInto(db, account)
  const remove = deleteBy(db, account, 'id')
  const find = ({ name, kind, condition }: AccountWrite): AccountRow | undefined => {
    const row = ofKind.get({ name, kind })
    checkVersion(`${kind} ${name}`, row?.version, condition)
    return row
  }
  const get = (call: AccountWrite) => found(find(call), call.kind, call.name)
  const keepOneAdmin = adminCheck(db)
  const change = accountChange(db, parts, keepOneAdmin)
  const changeGroups = groupChange(db)

  return {
    /** Adds an account, or changes an existing one. */
    putAccount(call: AccountWrite & { owner?: string; passwordHash?: string; isAdmin: boolean }): AccountPut {
      const { name, kind, isAdmin, passwordHash } = call
      const row = find(call)
      if (row !== undefined) {
        const isChanged = passwordHash !== undefined || isAdmin !== row.isAdmin
        return { isNew: false, ...(isChanged && change(call, row, { passwordHash, isAdmin })) }
      }
      const owner = call.owner && found(ofKind.get({ name: call.owner, kind: 'user' }), 'user', call.owner)
      const ownerId = owner ? owner.id : null
      insert.run({ name, kind, ownerId, passwordHash, isAdmin, createdAt: call.at, version: version() })
      recordAct({ action: `${kind}.create`, target: name, detail: { isAdmin } }, call.caller, call.at)
      return { isNew: true, ...(passwordHash !== undefined && changed([])) }
    },

    /**
     * Changes an account. A new password, or disabling it, ends its refresh tokens and sessions. Throws CONFLICT when
     * no server admin would be left.
     */
    changeAccount: (call: AccountWrite & { change: AccountChange }) => change(call, get(call), call.change),

    /** Removes an account with its robots, tokens, grants and memberships. */
    removeAccount(call: AccountWrite) {
      const { id } = get(call)
      const change = changed([id])
      changeGroups.run({ id, version: version() })
      outlive.account(id)
      remove.run({ id })
      keepOneAdmin()
      recordAct({ action: `${call.kind}.delete`, target: call.name }, call.caller, call.at)
      return change
    },
  }
}

function accountChange(db: Db, { recordAct, version }: AccountParts, keepOneAdmin: () => void) {
  const changed = staleAccounts(db)
  const update = updateBy(db, account, ['passwordHash', 'isAdmin', 'disabledAt', 'version'], 'id')
  const signOut = statement(db, { id: number }, ({ id }) =>
    db.delete(credential).where(and(eq(credential.accountId, id), ne(credential.kind, 'token'))),
  )
  return ({ kind, name, caller, at }: AccountWrite, row: AccountRow, change: AccountChange) => {
    const { passwordHash, isAdmin, disabled } = change
    update.run({
      id: row.id,
      passwordHash: passwordHash ?? row.passwordHash,
      isAdmin: isAdmin ?? row.isAdmin,
      disabledAt: disabled === undefined ? row.disabledAt : disabled ? (row.disabledAt ?? at) : null,
      version: version(),
    })
    keepOneAdmin()
    if (passwordHash !== undefined || disabled) signOut.run({ id: row.id })
    const detail = { isAdmin, disabled, password: passwordHash === undefined ? undefined : 'changed' }
    recordAct({ action: `${kind}.change`, target: name, detail }, caller, at)
    return changed([row.id])
  }
}

/** A write of one group. It throws PRECONDITION_FAILED when its condition does not hold. */
export interface GroupWrite extends Write {
  name: string
}

/** Writes of groups. */
export function groupWrites(db: Db, { recordAct, version, outlive }: AccountParts) {
  const changed = staleAccounts(db)
  const accounts = selectBy(db, account, 'name')
  const groups = selectBy(db, accountGroup, 'name')
  const insert = insertInto(db, accountGroup)
  const update = updateBy(db, accountGroup, ['version'], 'id')
  const remove = deleteBy(db, accountGroup, 'id')
  const members = selectBy(db, groupMember, 'groupId')
  const addMember = insertNew(db, groupMember)
  const removeMember = deleteBy(db, groupMember, 'groupId', 'accountId')
  const find = ({ name, condition }: GroupWrite): GroupRow | undefined => {
    const row = groups.get({ name })
    checkVersion(`group ${name}`, row?.version, condition)
    return row
  }
  const idsOf = (names: string[]) => names.map((name) => found(accounts.get({ name }), 'account', name).id)

  return {
    /** Adds a group unless it exists, and returns whether it did. */
    putGroup(call: GroupWrite): boolean {
      const { name, at } = call
      if (find(call) !== undefined) return false
      insert.run({ name, createdAt: at, version: version() })
      recordAct({ action: 'group.create', target: name }, call.caller, at)
      return true
    },

    removeGroup(call: GroupWrite) {
      const { id } = found(find(call), 'group', call.name)
      const change = changed(members.all({ groupId: id }).map(({ accountId }) => accountId))
      outlive.group(id)
      remove.run({ id })
      recordAct({ action: 'group.delete', target: call.name }, call.caller, call.at)
      return change
    },

    /** Adds and removes members. Throws NOT_FOUND for an account that does not exist. */
    changeMembers(call: GroupWrite & { add: string[]; remove: string[] }) {
      const { add, remove } = call
      const { id: groupId } = found(find(call), 'group', call.name)
      const [added, removed] = [idsOf(add), idsOf(remove)]
      for (const accountId of added) addMember.run({ groupId, accountId })
      for (const accountId of removed) removeMember.run({ groupId, accountId })
      update.run({ id: groupId, version: version() })
      recordAct({ action: 'group.change', target: call.name, detail: { add, remove } }, call.caller, call.at)
      return changed([...added, ...removed])
    },
  }
}

/** Returns a function that marks accounts as stale, with their robots, which can do no more than their owners. */
function staleAccounts(db: Db) {
  const owned = selectBy(db, account, 'ownerId')
  return (ids: number[]) => {
    const robots = ids.flatMap((ownerId) => owned.all({ ownerId }))
    return { stale: 'accounts', accounts: [...ids, ...robots.map(({ id }) => id)] } as const
  }
}

/** Gives a version to the groups that an account, or one of its robots, is a member of. */
function groupChange(db: Db) {
  return statement(
    db,
    { id: number, version: number },
    ({ id, version }) => sql`update account_group set version = ${version} where id in (
      select group_id from group_member m join account a on a.id = m.account_id where a.id = ${id} or a.owner_id = ${id})`,
  )
}

function found<T>(row: T | undefined, kind: string, name: string): T {
  if (row !== undefined) return row
  throw registryError('NOT_FOUND', `there is no ${kind} ${name}`)
}

/** Returns a function that throws CONFLICT without a server admin, because nobody could then manage the server. */
function adminCheck(db: Db): () => void {
  const admins = statement(
    db,
    {},
    () => sql<object>`select 1 from account where is_admin and disabled_at is null limit 1`,
  )
  return () => {
    if (admins.get({}) !== undefined) return
    throw registryError('CONFLICT', 'this would leave no server admin: make another user an admin first')
  }
}

export type CredentialRow = typeof credential.$inferSelect
export type SigningKeyRow = typeof signingKey.$inferSelect

/** Reads of tokens and of the keys that sign. */
export function credentialReads(db: Db) {
  const byHash = selectBy(db, credential, 'hash')
  const byId = selectBy(db, credential, 'id')
  const facts = selectBy(db, installation, 'name')
  const tokens = statement(
    db,
    { accountId: number, last: text, limit: number },
    ({ accountId, last, limit }) =>
      db
        .select()
        .from(credential)
        .where(
          and(
            eq(credential.accountId, accountId),
            inArray(credential.kind, TOKEN_KINDS),
            gt(credential.id, last),
          ),
        )
        .orderBy(asc(credential.id))
        .limit(limit),
  )
  const keys = statement(db, {}, () =>
    db.select().from(signingKey).orderBy(asc(signingKey.createdAt), asc(signingKey.id)),
  )
  return {
    findByHash: (hash: Buffer): CredentialRow | undefined => byHash.get({ hash }),
    find: (id: string): CredentialRow | undefined => byId.get({ id }),

    /** Returns at most `limit` tokens of an account, including refresh tokens, after the id `last`. */
    list: (accountId: number, last: string, limit: number): CredentialRow[] =>
      tokens.all({ accountId, last, limit }),

    /** Returns the keys that verify tokens, oldest first. The last one signs. */
    signingKeys: (): SigningKeyRow[] => keys.all({}),

    /** Returns a fact of this installation. */
    fact: (name: string): string | undefined => facts.get({ name })?.value,
  }
}

/** A token in the list of an account. */
const TOKEN_KINDS = ['token', 'refresh'] as const

/** The maximum credentials of one account. Of those that each login creates, the most recently used stay. */
const CREDENTIALS_MAX = { token: 1000, refresh: 100, session: 100 }

/** A credential to add to the account `of`. */
export type NewCredential = Write &
  Omit<CredentialRow, 'accountId' | 'createdAt' | 'lastUsedAt'> & { of: string }

/** Writes of tokens, each for one call of the writer. */
export function credentialWrites(db: Db, recordAct: RecordAct) {
  const touch = updateBy(db, credential, ['lastUsedAt'], 'id')
  const accounts = selectBy(db, account, 'name')
  const byId = selectBy(db, credential, 'id')
  const insert = insertInto(db, credential)
  const remove = deleteBy(db, credential, 'id')
  const expired = [
    statement(db, { before: number }, ({ before }) =>
      db.delete(credential).where(lt(credential.expiresAt, before)),
    ),
    statement(db, { before: number }, ({ before }) =>
      db.delete(signingKey).where(lt(signingKey.endsAt, before)),
    ),
  ]
  const older = statement(
    db,
    { accountId: number, kind: text, kept: number },
    ({ accountId, kind, kept }) =>
      sql<{ id: string }>`select id from credential where account_id = ${accountId} and kind = ${kind}
        order by coalesce(last_used_at, created_at) desc, created_at desc limit -1 offset ${kept}`,
  )
  const makeRoom = (accountId: number, kind: CredentialRow['kind']): void => {
    const surplus = older.all({ accountId, kind, kept: CREDENTIALS_MAX[kind] - 1 })
    if (kind === 'token' && surplus.length > 0) {
      const message = `an account has at most ${CREDENTIALS_MAX.token} tokens: remove one first`
      throw registryError('CONFLICT', message)
    }
    for (const { id } of surplus) remove.run({ id })
  }
  return {
    addCredential(call: NewCredential) {
      const owner = accounts.get({ name: call.of })
      if (!owner) throw registryError('NOT_FOUND', `there is no account ${JSON.stringify(call.of)}`)
      const { id, kind, name, expiresAt, scope } = call
      const hash = Buffer.from(call.hash)
      makeRoom(owner.id, kind)
      insert.run({ id, accountId: owner.id, kind, name, hash, createdAt: call.at, expiresAt, scope })
      const detail = { id, expiresAt, name, scope }
      // Sign-ins are recorded apart from changes.
      if (kind === 'token')
        recordAct({ action: 'token.create', target: call.of, detail }, call.caller, call.at)
    },

    /** Revokes a credential of the account; `token` includes refresh tokens. Throws NOT_FOUND. */
    removeCredential(call: Write & Pick<NewCredential, 'id' | 'of' | 'kind'>) {
      const { kind, id } = call
      const owner = accounts.get({ name: call.of })
      const row = byId.get({ id })
      const isKind = kind === row?.kind || (kind === 'token' && row?.kind === 'refresh')
      if (!isKind || row.accountId !== owner?.id)
        throw registryError('NOT_FOUND', `${call.of} has no ${kind} ${id}`)
      remove.run({ id })
      const act = { action: 'token.delete', target: call.of, detail: { id } }
      if (kind === 'token') recordAct(act, call.caller, call.at)
      return { stale: 'accounts', accounts: [owner.id] } as const
    },

    /** Records when credentials were last used. */
    touchCredentials(call: { used: { id: string; at: number }[] }): void {
      for (const { id, at } of call.used) touch.run({ id, lastUsedAt: at })
    },

    /** Removes the tokens and keys that expired before a time. */
    removeExpired(call: { before: number }): void {
      for (const removal of expired) removal.run(call)
    },
  }
}

/** Writes of the facts and the keys of an installation. */
export function installationWrites(db: Db, recordAct: RecordAct) {
  const fact = insertNew(db, installation)
  const insert = insertInto(db, signingKey)
  const end = statement(db, { endsAt: number }, ({ endsAt }) =>
    db
      .update(signingKey)
      .set({ endsAt: sql`${endsAt}` })
      .where(or(isNull(signingKey.endsAt), gt(signingKey.endsAt, endsAt))),
  )
  const removeEnded = statement(db, { at: number }, ({ at }) =>
    db.delete(signingKey).where(lte(signingKey.endsAt, at)),
  )
  return {
    /** Adds the key that signs from now on. The others expire at the given time, or earlier if they already do. */
    addSigningKey(call: Write & { id: string; privateJwk: string; othersEndAt: number }) {
      const { id, privateJwk, othersEndAt, at, caller } = call
      end.run({ endsAt: othersEndAt })
      removeEnded.run({ at })
      insert.run({ id, privateJwk, createdAt: at })
      recordAct({ action: 'signing-key.create', target: id, detail: { othersEndAt } }, caller, at)
      return { stale: 'signing-keys' } as const
    },

    /** Stores a fact unless it exists already. */
    addFact: (call: { name: string; value: string }): void => fact.run(call),
  }
}
