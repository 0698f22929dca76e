import { and, asc, eq, gt, inArray, ne, or, sql } from 'drizzle-orm'
import type { Write } from '../../domain/access/caller.ts'
import { registryError } from '../../oci/error.ts'
import type { Db } from '../database.ts'
import { account, accountGroup, credential, groupMember } from '../schema/account-schema.ts'
import { number, statement, text } from '../statement.ts'
import { checkVersion, type VersionOfCall } from '../versions.ts'
import type { RecordAct } from './audit.ts'
import { grantsOutlive } from './grants.ts'

export type AccountRow = typeof account.$inferSelect
export type GroupRow = typeof accountGroup.$inferSelect

/** Reads of accounts and groups. */
export function accountReads(db: Db) {
  const byName = statement(db, { name: text }, ({ name }) =>
    db.select().from(account).where(eq(account.name, name)),
  )
  const byId = statement(db, { id: number }, ({ id }) => db.select().from(account).where(eq(account.id, id)))
  return {
    find: (name: string): AccountRow | undefined => byName.get({ name }),
    findById: (id: number): AccountRow | undefined => byId.get({ id }),

    /** Returns at most `limit` accounts of a kind after the name `last`, in byte order: all, or those of an owner. */
    list(kind: AccountRow['kind'], last: string, limit: number, owner?: string): AccountRow[] {
      const ownerId = owner === undefined ? undefined : (byName.get({ name: owner })?.id ?? 0)
      const isOwned = ownerId === undefined ? undefined : eq(account.ownerId, ownerId)
      return db
        .select()
        .from(account)
        .where(and(eq(account.kind, kind), gt(account.name, last), isOwned))
        .orderBy(asc(account.name))
        .limit(limit)
        .all()
    },

    /** Returns the costs of the bcrypt hashes that accounts have, two digits each. */
    bcryptCosts: (): string[] =>
      db
        .selectDistinct({ cost: sql<string>`substr(${account.passwordHash}, 5, 2)` })
        .from(account)
        .where(sql`${account.passwordHash} glob '$2[aby]$*'`)
        .all()
        .map(({ cost }) => cost),

    /** Returns the name of the group if it exists. */
    groupName: (id: number): string | undefined =>
      db.select({ name: accountGroup.name }).from(accountGroup).where(eq(accountGroup.id, id)).get()?.name,

    groupsOf: (accountId: number): number[] =>
      db
        .select({ id: groupMember.groupId })
        .from(groupMember)
        .where(eq(groupMember.accountId, accountId))
        .all()
        .map(({ id }) => id),

    findGroup: (name: string): GroupRow | undefined =>
      db.select().from(accountGroup).where(eq(accountGroup.name, name)).get(),

    /** Returns the names of at most `limit` groups after the name `last`. */
    listGroups: (last: string, limit: number): string[] =>
      db
        .select({ name: accountGroup.name })
        .from(accountGroup)
        .where(gt(accountGroup.name, last))
        .orderBy(asc(accountGroup.name))
        .limit(limit)
        .all()
        .map(({ name }) => name),

    /** Returns the names of a group's members, in byte order. */
    membersOf: (groupId: number): string[] =>
      db
        .select({ name: account.name })
        .from(groupMember)
        .innerJoin(account, eq(account.id, groupMember.accountId))
        .where(eq(groupMember.groupId, groupId))
        .orderBy(asc(account.name))
        .all()
        .map(({ name }) => name),
  }
}

/** A write of one account. It throws PRECONDITION_FAILED when its condition does not hold. */
export interface AccountWrite extends Write {
  name: string
  kind: AccountRow['kind']
}

/** Whether the account is new, and which accounts are stale. */
type AccountPut = { isNew: boolean } & Partial<ReturnType<typeof changed>>

/** Changes of an account. Omitted fields stay as they are. */
export interface AccountChange {
  passwordHash?: string | undefined
  isAdmin?: boolean | undefined
  disabled?: boolean | undefined
}

interface AccountParts {
  recordAct: RecordAct
  version: VersionOfCall
}

/** Writes of accounts, each for one call of the writer. */
export function accountWrites(db: Db, { recordAct, version }: AccountParts) {
  const find = ({ name, kind, condition }: AccountWrite): AccountRow | undefined => {
    const row = findAccount(db, name, kind)
    checkVersion(`${kind} ${name}`, row?.version, condition)
    return row
  }
  const get = (call: AccountWrite) => found(find(call), call.kind, call.name)
  const change = accountChange(db, { recordAct, version })
  const outlive = grantsOutlive(db)

  return {
    /** Adds an account, or changes an existing one. */
    putAccount(call: AccountWrite & { owner?: string; passwordHash?: string; isAdmin: boolean }): AccountPut {
      const { name, kind, isAdmin, passwordHash } = call
      const row = find(call)
      if (row !== undefined) {
        const isChanged = passwordHash !== undefined || isAdmin !== row.isAdmin
        return { isNew: false, ...(isChanged && change(call, row, { passwordHash, isAdmin })) }
      }
      const ownerId =
        call.owner === undefined ? null : found(findAccount(db, call.owner, 'user'), 'user', call.owner).id
      db.insert(account)
        .values({ name, kind, ownerId, passwordHash, isAdmin, createdAt: call.at, version: version() })
        .run()
      recordAct({ action: `${kind}.create`, target: name, detail: { isAdmin } }, call.caller, call.at)
      return { isNew: true, ...(passwordHash !== undefined && changed(db, [])) }
    },

    /**
     * Changes an account. A new password, or disabling it, ends its refresh tokens and sessions. Throws CONFLICT when
     * no server admin would be left.
     */
    changeAccount: (call: AccountWrite & { change: AccountChange }) => change(call, get(call), call.change),

    /** Removes an account with its robots, tokens, grants and memberships. */
    removeAccount(call: AccountWrite) {
      const { id } = get(call)
      const change = changed(db, [id])
      changeGroupsOf(db, id, version())
      outlive.account(id)
      db.delete(account).where(eq(account.id, id)).run()
      keepOneAdmin(db)
      recordAct({ action: `${call.kind}.delete`, target: call.name }, call.caller, call.at)
      return change
    },
  }
}

function accountChange(db: Db, { recordAct, version }: AccountParts) {
  return ({ kind, name, caller, at }: AccountWrite, row: AccountRow, change: AccountChange) => {
    const { passwordHash, isAdmin, disabled } = change
    db.update(account)
      .set({
        passwordHash: passwordHash ?? row.passwordHash,
        isAdmin: isAdmin ?? row.isAdmin,
        disabledAt: disabled === undefined ? row.disabledAt : disabled ? (row.disabledAt ?? at) : null,
        version: version(),
      })
      .where(eq(account.id, row.id))
      .run()
    keepOneAdmin(db)
    if (passwordHash !== undefined || disabled) {
      db.delete(credential)
        .where(and(eq(credential.accountId, row.id), ne(credential.kind, 'token')))
        .run()
    }
    const detail = { isAdmin, disabled, password: passwordHash === undefined ? undefined : 'changed' }
    recordAct({ action: `${kind}.change`, target: name, detail }, caller, at)
    return changed(db, [row.id])
  }
}

/** A write of one group. It throws PRECONDITION_FAILED when its condition does not hold. */
export interface GroupWrite extends Write {
  name: string
}

/** Writes of groups. */
export function groupWrites(db: Db, { recordAct, version }: AccountParts) {
  const find = ({ name, condition }: GroupWrite): GroupRow | undefined => {
    const row = db.select().from(accountGroup).where(eq(accountGroup.name, name)).get()
    checkVersion(`group ${name}`, row?.version, condition)
    return row
  }
  const idsOf = (names: string[]) => names.map((name) => found(findAccount(db, name), 'account', name).id)

  return {
    /** Adds a group unless it exists, and returns whether it did. */
    putGroup(call: GroupWrite): boolean {
      const { name, at } = call
      if (find(call) !== undefined) return false
      db.insert(accountGroup).values({ name, createdAt: at, version: version() }).run()
      recordAct({ action: 'group.create', target: name }, call.caller, at)
      return true
    },

    removeGroup(call: GroupWrite) {
      const { id } = found(find(call), 'group', call.name)
      const members = db
        .select({ id: groupMember.accountId })
        .from(groupMember)
        .where(eq(groupMember.groupId, id))
        .all()
        .map((member) => member.id)
      const change = changed(db, members)
      grantsOutlive(db).group(id)
      db.delete(accountGroup).where(eq(accountGroup.id, id)).run()
      recordAct({ action: 'group.delete', target: call.name }, call.caller, call.at)
      return change
    },

    /** Adds and removes members. Throws NOT_FOUND for an account that does not exist. */
    changeMembers(call: GroupWrite & { add: string[]; remove: string[] }) {
      const { add, remove } = call
      const { id: groupId } = found(find(call), 'group', call.name)
      const [added, removed] = [idsOf(add), idsOf(remove)]
      for (const accountId of added) {
        db.insert(groupMember).values({ groupId, accountId }).onConflictDoNothing().run()
      }
      db.delete(groupMember)
        .where(and(eq(groupMember.groupId, groupId), inArray(groupMember.accountId, removed)))
        .run()
      db.update(accountGroup).set({ version: version() }).where(eq(accountGroup.id, groupId)).run()
      recordAct({ action: 'group.change', target: call.name, detail: { add, remove } }, call.caller, call.at)
      return changed(db, [...added, ...removed])
    },
  }
}

/** Marks accounts as stale, with their robots, which can do no more than their owners. */
function changed(db: Db, ids: number[]) {
  const isOwned = sql`${account.ownerId} in (select value from json_each(${JSON.stringify(ids)}))`
  const robots = db.select({ id: account.id }).from(account).where(isOwned).all()
  return { stale: 'accounts', accounts: [...ids, ...robots.map(({ id }) => id)] } as const
}

/** Gives a version to the groups that an account, or one of its robots, is a member of. */
function changeGroupsOf(db: Db, accountId: number, version: number): void {
  const groups = db
    .select({ id: groupMember.groupId })
    .from(groupMember)
    .innerJoin(account, eq(account.id, groupMember.accountId))
    .where(or(eq(account.id, accountId), eq(account.ownerId, accountId)))
  db.update(accountGroup).set({ version }).where(inArray(accountGroup.id, groups)).run()
}

function findAccount(db: Db, name: string, kind?: AccountRow['kind']): AccountRow | undefined {
  const isKind = kind === undefined ? undefined : eq(account.kind, kind)
  return db
    .select()
    .from(account)
    .where(and(eq(account.name, name), isKind))
    .get()
}

function found<T>(row: T | undefined, kind: string, name: string): T {
  if (row !== undefined) return row
  throw registryError('NOT_FOUND', `there is no ${kind} ${name}`)
}

/** Throws CONFLICT if no server admin would be left, because nobody could then manage the server. */
function keepOneAdmin(db: Db): void {
  const left = db
    .select({ id: account.id })
    .from(account)
    .where(and(eq(account.isAdmin, true), sql`${account.disabledAt} is null`))
    .limit(1)
    .get()
  if (left !== undefined) return
  throw registryError('CONFLICT', 'this would leave no server admin: make another user an admin first')
}
