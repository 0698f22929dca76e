import { and, asc, eq, gt, inArray, ne, sql } from 'drizzle-orm'
import type { Caller } from '../../domain/caller.ts'
import { registryError } from '../../oci/error.ts'
import { account, accountGroup, credential, groupMember } from '../account-schema.ts'
import type { Db } from '../database.ts'
import { number, statement, text } from '../statement.ts'
import type { TellAct } from './audit.ts'

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

    /** At most `limit` accounts of a kind after the name `last`, in byte order: all, or those of an owner. */
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

    /** The name of a group that exists. */
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

    /** At most `limit` groups after the name `last`. */
    listGroups: (last: string, limit: number): GroupRow[] =>
      db
        .select()
        .from(accountGroup)
        .where(gt(accountGroup.name, last))
        .orderBy(asc(accountGroup.name))
        .limit(limit)
        .all(),

    /** The names of a group's members, in byte order. */
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

/** What every act on accounts says of itself. */
export interface AccountAct {
  caller: Caller
  at: number
}

/** What an account may be changed in; what is left out stays. */
export interface AccountChange {
  passwordHash?: string
  isAdmin?: boolean
  disabled?: boolean
}

/** Writes of accounts, each for one call of the writer. */
export function accountWrites(db: Db, tell: TellAct) {
  const get = getAccount(db)
  return {
    /** Throws CONFLICT when the name is taken. */
    addAccount(
      call: AccountAct & {
        name: string
        kind: AccountRow['kind']
        owner: string | undefined
        passwordHash: string | undefined
        isAdmin: boolean
      },
    ) {
      const { name, kind, isAdmin, passwordHash = null } = call
      const ownerId = call.owner === undefined ? null : get(call.owner, 'user').id
      const inserted = db
        .insert(account)
        .values({ name, kind, ownerId, passwordHash, isAdmin, createdAt: call.at })
        .onConflictDoNothing()
        .returning({ id: account.id })
        .all()
      if (inserted.length === 0) throw registryError('CONFLICT', `the name ${name} is taken`)
      tell({ action: `${kind}.add`, target: name, detail: { isAdmin } }, call.caller, call.at)
    },

    /** A new password ends what the old one gave, refresh tokens and sessions; so does disabling. Throws CONFLICT when no server admin is left. */
    changeAccount(call: AccountAct & { name: string; kind: AccountRow['kind']; change: AccountChange }) {
      const { passwordHash, isAdmin, disabled } = call.change
      const row = get(call.name, call.kind)
      db.update(account)
        .set({
          passwordHash: passwordHash ?? row.passwordHash,
          isAdmin: isAdmin ?? row.isAdmin,
          disabledAt: disabled === undefined ? row.disabledAt : disabled ? (row.disabledAt ?? call.at) : null,
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
      tell({ action: `${call.kind}.change`, target: call.name, detail }, call.caller, call.at)
      return changed(db, [row.id])
    },

    /** With its robots, tokens, grants and memberships. */
    removeAccount(call: AccountAct & { name: string; kind: AccountRow['kind'] }) {
      const row = get(call.name, call.kind)
      const change = changed(db, [row.id])
      db.delete(account).where(eq(account.id, row.id)).run()
      keepOneAdmin(db)
      tell({ action: `${call.kind}.remove`, target: call.name }, call.caller, call.at)
      return change
    },
  }
}

/** Writes of groups. */
export function groupWrites(db: Db, tell: TellAct) {
  const get = (name: string) => {
    const row = db.select().from(accountGroup).where(eq(accountGroup.name, name)).get()
    if (row) return row
    throw registryError('NOT_FOUND', `there is no group ${JSON.stringify(name)}`)
  }
  return {
    addGroup(call: AccountAct & { name: string }) {
      const inserted = db
        .insert(accountGroup)
        .values({ name: call.name, createdAt: call.at })
        .onConflictDoNothing()
        .returning({ id: accountGroup.id })
        .all()
      if (inserted.length === 0) throw registryError('CONFLICT', `the group ${call.name} exists`)
      tell({ action: 'group.add', target: call.name }, call.caller, call.at)
    },

    removeGroup(call: AccountAct & { name: string }) {
      const { id } = get(call.name)
      const members = db
        .select({ id: groupMember.accountId })
        .from(groupMember)
        .where(eq(groupMember.groupId, id))
        .all()
      const change = changed(
        db,
        members.map((member) => member.id),
      )
      db.delete(accountGroup).where(eq(accountGroup.id, id)).run()
      tell({ action: 'group.remove', target: call.name }, call.caller, call.at)
      return change
    },

    /** Adds and removes members. Throws NOT_FOUND for an account that is not there. */
    changeMembers(call: AccountAct & { name: string; add: string[]; remove: string[] }) {
      const { id: groupId } = get(call.name)
      const ids = (names: string[]) =>
        names.map((name) => {
          const row = db.select({ id: account.id }).from(account).where(eq(account.name, name)).get()
          if (row) return row.id
          throw registryError('NOT_FOUND', `there is no account ${JSON.stringify(name)}`)
        })
      const [added, removed] = [ids(call.add), ids(call.remove)]
      for (const accountId of added) {
        db.insert(groupMember).values({ groupId, accountId }).onConflictDoNothing().run()
      }
      db.delete(groupMember)
        .where(and(eq(groupMember.groupId, groupId), inArray(groupMember.accountId, removed)))
        .run()
      const { add, remove } = call
      tell({ action: 'group.change', target: call.name, detail: { add, remove } }, call.caller, call.at)
      return changed(db, [...added, ...removed])
    },
  }
}

/** Accounts have changed, and with them their robots, which can do no more than their owners. */
function changed(db: Db, ids: number[]) {
  const isOwned = sql`${account.ownerId} in (select value from json_each(${JSON.stringify(ids)}))`
  const robots = db.select({ id: account.id }).from(account).where(isOwned).all()
  return { stale: 'accounts', accounts: [...ids, ...robots.map(({ id }) => id)] } as const
}

function getAccount(db: Db) {
  return (name: string, kind: AccountRow['kind']): AccountRow => {
    const row = db
      .select()
      .from(account)
      .where(and(eq(account.name, name), eq(account.kind, kind)))
      .get()
    if (row) return row
    throw registryError('NOT_FOUND', `there is no ${kind} ${JSON.stringify(name)}`)
  }
}

/** An owner must not lock everybody out. */
function keepOneAdmin(db: Db): void {
  const left = db
    .select({ id: account.id })
    .from(account)
    .where(and(eq(account.isAdmin, true), sql`${account.disabledAt} is null`))
    .limit(1)
    .get()
  if (left !== undefined) return
  throw registryError('CONFLICT', 'this would leave no server admin: make another one first')
}
