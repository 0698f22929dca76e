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

/*
 * The tables. Digests are bytes (32: sha256, 64: sha512), times are milliseconds since 1970, and joins use
 * integer ids. What is deleted has `deleted_at` and is invisible everywhere until it is restored or collected.
 */

const digestBytes = (name: string) => bytes(name, { mode: 'buffer' }).notNull()
const time = (name: string) => integer(name)

export const repository = sqliteTable('repository', {
  id: integer('id').primaryKey({ autoIncrement: true }),
  name: text('name').notNull().unique(),
  createdAt: time('created_at').notNull(),
  deletedAt: time('deleted_at'),
})

/** Bytes that are verified, on disk, and synced. */
export const blob = sqliteTable('blob', {
  id: integer('id').primaryKey(),
  digest: digestBytes('digest').unique(),
  size: integer('size').notNull(),
  storedAt: time('stored_at').notNull(),
  verifiedAt: time('verified_at').notNull(),
})

/** A blob is reachable through a repository by this link only. */
export const repositoryBlob = sqliteTable(
  'repository_blob',
  {
    repositoryId: integer('repository_id')
      .notNull()
      .references(() => repository.id),
    blobId: integer('blob_id')
      .notNull()
      .references(() => blob.id),
    linkedAt: time('linked_at').notNull(),
    /** Since when no manifest of the repository names the blob; null while one does. */
    unreferencedAt: time('unreferenced_at'),
    deletedAt: time('deleted_at'),
  },
  (t) => [
    primaryKey({ columns: [t.blobId, t.repositoryId] }),
    index('repository_blob_unreferenced').on(t.unreferencedAt).where(sql`unreferenced_at is not null`),
  ],
)

export const manifest = sqliteTable(
  'manifest',
  {
    id: integer('id').primaryKey(),
    repositoryId: integer('repository_id')
      .notNull()
      .references(() => repository.id),
    /** The digest that the manifest was first pushed with. */
    digest: digestBytes('digest'),
    mediaType: text('media_type').notNull(),
    artifactType: text('artifact_type'),
    subject: bytes('subject', { mode: 'buffer' }),
    size: integer('size').notNull(),
    pushedAt: time('pushed_at').notNull(),
    deletedAt: time('deleted_at'),
  },
  (t) => [
    uniqueIndex('manifest_digest_unique').on(t.digest, t.repositoryId),
    index('manifest_subject').on(t.repositoryId, t.subject, t.digest).where(sql`subject is not null`),
  ],
)

/** The other digests that a manifest is known by: of other algorithms than its first one. */
export const manifestDigest = sqliteTable(
  'manifest_digest',
  {
    repositoryId: integer('repository_id').notNull(),
    digest: digestBytes('digest'),
    manifestId: integer('manifest_id')
      .notNull()
      .references(() => manifest.id),
  },
  (t) => [primaryKey({ columns: [t.repositoryId, t.digest] }), index('manifest_digest_of').on(t.manifestId)],
)

/** A manifest's bytes, once a digest for all repositories, apart from the rows that are listed. */
export const manifestBytes = sqliteTable('manifest_bytes', {
  digest: digestBytes('digest').primaryKey(),
  bytes: bytes('bytes', { mode: 'buffer' }).notNull(),
})

/** What a manifest names: without foreign keys, for foreign layers and sparse children may be absent. */
export const manifestReference = sqliteTable(
  'manifest_reference',
  {
    manifestId: integer('manifest_id')
      .notNull()
      .references(() => manifest.id),
    digest: digestBytes('digest'),
    role: text('role', { enum: ['config', 'layer', 'blob', 'child', 'foreign'] }).notNull(),
  },
  (t) => [primaryKey({ columns: [t.manifestId, t.digest] }), index('manifest_reference_digest').on(t.digest)],
)

export const tag = sqliteTable(
  'tag',
  {
    repositoryId: integer('repository_id')
      .notNull()
      .references(() => repository.id),
    name: text('name').notNull(),
    manifestId: integer('manifest_id')
      .notNull()
      .references(() => manifest.id),
    /** The digest that the manifest was pushed with under this tag. */
    digest: digestBytes('digest'),
    updatedAt: time('updated_at').notNull(),
  },
  (t) => [primaryKey({ columns: [t.repositoryId, t.name] }), index('tag_manifest').on(t.manifestId)],
)

/** Every move of a tag: `digest` is where it pointed from `at` on, null after a deletion. */
export const tagHistory = sqliteTable(
  'tag_history',
  {
    id: integer('id').primaryKey(),
    repositoryId: integer('repository_id').notNull(),
    name: text('name').notNull(),
    digest: bytes('digest', { mode: 'buffer' }),
    at: time('at').notNull(),
    account: text('account'),
    credential: text('credential'),
    address: text('address').notNull(),
    requestId: text('request_id').notNull(),
  },
  (t) => [index('tag_history_tag').on(t.repositoryId, t.name, t.id)],
)

/** The outbox: written with the change that it tells of. */
export const event = sqliteTable('event', {
  id: integer('id').primaryKey(),
  at: time('at').notNull(),
  type: text('type').notNull(),
  repository: text('repository').notNull(),
  digest: bytes('digest', { mode: 'buffer' }),
  tag: text('tag'),
  account: text('account'),
  credential: text('credential'),
  address: text('address').notNull(),
  requestId: text('request_id').notNull(),
})

/** Who can sign in: a user by password, a robot by its tokens only. */
export const account = sqliteTable('account', {
  id: integer('id').primaryKey({ autoIncrement: true }),
  name: text('name').notNull().unique(),
  kind: text('kind', { enum: ['user', 'robot'] }).notNull(),
  /** The user that a robot belongs to. */
  ownerId: integer('owner_id').references((): AnySQLiteColumn => account.id, { onDelete: 'cascade' }),
  /** argon2id or bcrypt; null for those who have none. */
  passwordHash: text('password_hash'),
  /** May do all. */
  isAdmin: integer('is_admin', { mode: 'boolean' }).notNull(),
  createdAt: time('created_at').notNull(),
  disabledAt: time('disabled_at'),
})

/** A token of an account: only its hash is kept. */
export const credential = sqliteTable(
  'credential',
  {
    id: text('id').primaryKey(),
    accountId: integer('account_id')
      .notNull()
      .references(() => account.id, { onDelete: 'cascade' }),
    kind: text('kind', { enum: ['token', 'refresh'] }).notNull(),
    name: text('name').notNull(),
    /** SHA-256 of the secret. */
    hash: bytes('hash', { mode: 'buffer' }).notNull().unique(),
    createdAt: time('created_at').notNull(),
    expiresAt: time('expires_at'),
    lastUsedAt: time('last_used_at'),
    /** Rules that narrow what the account may do, as JSON; null does not narrow. */
    scope: text('scope'),
  },
  (t) => [index('credential_account').on(t.accountId)],
)

export const accountGroup = sqliteTable('account_group', {
  id: integer('id').primaryKey({ autoIncrement: true }),
  name: text('name').notNull().unique(),
  createdAt: time('created_at').notNull(),
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

/** What a subject may do with the repositories of a pattern. Grants add up. */
export const accessGrant = sqliteTable(
  'access_grant',
  {
    id: integer('id').primaryKey({ autoIncrement: true }),
    /** `anonymous`, `authenticated`, `account:<id>` or `group:<id>`: what makes a grant one of its kind. */
    subject: text('subject').notNull(),
    accountId: integer('account_id').references(() => account.id, { onDelete: 'cascade' }),
    groupId: integer('group_id').references(() => accountGroup.id, { onDelete: 'cascade' }),
    pattern: text('pattern').notNull(),
    role: text('role', { enum: ['reader', 'writer', 'admin'] }).notNull(),
    createdAt: time('created_at').notNull(),
  },
  (t) => [uniqueIndex('access_grant_subject').on(t.subject, t.pattern)],
)

/** Keys that tokens are signed with; the newest signs, the others still verify. */
export const signingKey = sqliteTable('signing_key', {
  id: text('id').primaryKey(),
  privateJwk: text('private_jwk').notNull(),
  createdAt: time('created_at').notNull(),
})

/** What is fixed once for an installation. */
export const installation = sqliteTable('installation', {
  name: text('name').primaryKey(),
  value: text('value').notNull(),
})

/** Who did what to accounts and grants, from where. */
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
  (t) => [index('audit_at').on(t.at)],
)
