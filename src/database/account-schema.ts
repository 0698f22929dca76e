import { sql } from 'drizzle-orm'
import {
  type AnySQLiteColumn,
  blob as bytes,
  index,
  integer,
  primaryKey,
  sqliteTable,
  text,
  uniqueIndex,
} from 'drizzle-orm/sqlite-core'

/* The tables of accounts and what they may do. Times are milliseconds since 1970. */

const time = (name: string) => integer(name)

/** Changes with the row: see `versions.ts`. */
const version = () => integer('version').notNull().default(0)

/** Accounts: users sign in with a password or a token, robots only with a token. */
export const account = sqliteTable(
  'account',
  {
    id: integer('id').primaryKey({ autoIncrement: true }),
    name: text('name').notNull().unique(),
    kind: text('kind', { enum: ['user', 'robot'] }).notNull(),
    /** The user that a robot belongs to. */
    ownerId: integer('owner_id').references((): AnySQLiteColumn => account.id, { onDelete: 'cascade' }),
    /** An argon2id or bcrypt hash; null without a password. */
    passwordHash: text('password_hash'),
    /** Whether it is a server admin. */
    isAdmin: integer('is_admin', { mode: 'boolean' }).notNull(),
    createdAt: time('created_at').notNull(),
    disabledAt: time('disabled_at'),
    version: version(),
  },
  (t) => [index('account_owner').on(t.ownerId).where(sql`owner_id is not null`)],
)

/** Addresses from which an account has signed in with its password. Guesses from elsewhere do not delay it there. */
export const accountAddress = sqliteTable(
  'account_address',
  {
    accountId: integer('account_id')
      .notNull()
      .references(() => account.id, { onDelete: 'cascade' }),
    /** An IPv4 address, or the first 64 bits of an IPv6 address. */
    address: text('address').notNull(),
    lastAt: time('last_at').notNull(),
  },
  (t) => [primaryKey({ columns: [t.accountId, t.address] })],
)

/** A token of an account. Only its hash is stored. */
export const credential = sqliteTable(
  'credential',
  {
    id: text('id').primaryKey(),
    accountId: integer('account_id')
      .notNull()
      .references(() => account.id, { onDelete: 'cascade' }),
    kind: text('kind', { enum: ['token', 'refresh', 'session'] }).notNull(),
    name: text('name').notNull(),
    /** SHA-256 of the secret. */
    hash: bytes('hash', { mode: 'buffer' }).notNull().unique(),
    createdAt: time('created_at').notNull(),
    expiresAt: time('expires_at'),
    lastUsedAt: time('last_used_at'),
    /** The rules of its scope, as JSON; null for no limit. */
    scope: text('scope'),
  },
  (t) => [index('credential_account').on(t.accountId)],
)

export const accountGroup = sqliteTable('account_group', {
  id: integer('id').primaryKey({ autoIncrement: true }),
  name: text('name').notNull().unique(),
  createdAt: time('created_at').notNull(),
  version: version(),
})

export const groupMember = sqliteTable(
  'group_member',
  {
    groupId: integer('group_id')
      .notNull()
      .references(() => accountGroup.id, { onDelete: 'cascade' }),
    accountId: integer('account_id')
      .notNull()
      .references(() => account.id, { onDelete: 'cascade' }),
  },
  (t) => [primaryKey({ columns: [t.groupId, t.accountId] }), index('group_member_account').on(t.accountId)],
)

/** Grants: roles of subjects on the repositories of a pattern. They add up. */
export const accessGrant = sqliteTable(
  'access_grant',
  {
    id: integer('id').primaryKey({ autoIncrement: true }),
    /**
     * `anonymous`, `authenticated`, `account:<id>` or `group:<id>`. `name:<text>` is for an account or a group that
     * did not exist when the grant was created; such a grant has no effect.
     */
    subject: text('subject').notNull(),
    accountId: integer('account_id').references(() => account.id, { onDelete: 'cascade' }),
    groupId: integer('group_id').references(() => accountGroup.id, { onDelete: 'cascade' }),
    pattern: text('pattern').notNull(),
    role: text('role', { enum: ['reader', 'writer', 'admin'] }).notNull(),
    createdAt: time('created_at').notNull(),
  },
  (t) => [
    uniqueIndex('access_grant_subject').on(t.subject, t.pattern),
    index('access_grant_pattern').on(t.pattern),
  ],
)

/** Keys that sign tokens. The newest one signs; the others verify until they expire. */
export const signingKey = sqliteTable('signing_key', {
  id: text('id').primaryKey(),
  privateJwk: text('private_jwk').notNull(),
  createdAt: time('created_at').notNull(),
  /** When a replaced key expires, with every token that it has signed; null for the key that signs. */
  endsAt: time('ends_at'),
})

/** Values that are set once per installation. */
export const installation = sqliteTable('installation', {
  name: text('name').primaryKey(),
  value: text('value').notNull(),
})

/** The audit log of changes to accounts and grants. */
export const audit = sqliteTable(
  'audit',
  {
    id: integer('id').primaryKey(),
    at: time('at').notNull(),
    action: text('action').notNull(),
    target: text('target').notNull(),
    detail: text('detail').notNull(),
    account: text('account'),
    credential: text('credential'),
    address: text('address').notNull(),
    requestId: text('request_id').notNull(),
  },
  (t) => [index('audit_at').on(t.at), index('audit_account').on(t.account)],
)

/** The audit log of denials and sign-ins, apart from changes, so that they cannot displace those. */
export const auditNotice = sqliteTable(
  'audit_notice',
  {
    id: integer('id').primaryKey(),
    kind: text('kind', { enum: ['refused', 'signed-in', 'failed'] }).notNull(),
    /** When it happened first and last. Repeats within an hour share a row. */
    firstAt: time('first_at').notNull(),
    at: time('at').notNull(),
    count: integer('count').notNull(),
    /** What was attempted last. */
    target: text('target').notNull(),
    account: text('account').notNull(),
    credential: text('credential'),
    address: text('address').notNull(),
    requestId: text('request_id').notNull(),
  },
  (t) => [
    index('audit_notice_kind').on(t.kind, t.id),
    index('audit_notice_same').on(t.kind, t.account, t.address, t.firstAt),
  ],
)
