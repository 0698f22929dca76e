import { sql } from 'drizzle-orm'
import {
  blob as bytes,
  index,
  integer,
  primaryKey,
  sqliteTable,
  text,
  uniqueIndex,
} from 'drizzle-orm/sqlite-core'

/*
 * The tables of content. Digests are bytes (32: sha256, 64: sha512), times are milliseconds since 1970, and joins use
 * integer ids. Deleted rows have `deleted_at` and are hidden everywhere until they are restored or collected.
 */

const digestBytes = (name: string) => bytes(name, { mode: 'buffer' }).notNull()
const time = (name: string) => integer(name)

/** Changes with the row, except for its counters: see `versions.ts`. */
const version = () => integer('version').notNull().default(0)

/** A name can have one row that is not deleted, and several deleted ones, which can be restored or collected. */
export const repository = sqliteTable(
  'repository',
  {
    id: integer('id').primaryKey({ autoIncrement: true }),
    name: text('name').notNull(),
    createdAt: time('created_at').notNull(),
    deletedAt: time('deleted_at'),
    description: text('description').notNull().default(''),
    /** Days until a manifest that never had a tag is collected; null for the server's setting. */
    untaggedDays: integer('untagged_days'),
    /** Whether its tags can only be created, not moved or deleted. */
    immutableTags: integer('immutable_tags', { mode: 'boolean' }).notNull().default(false),
    /** The same for tags that match one of these patterns. */
    immutablePatterns: text('immutable_patterns', { mode: 'json' })
      .$type<string[]>()
      .notNull()
      .default(sql`'[]'`),
    pulls: integer('pulls').notNull().default(0),
    pushes: integer('pushes').notNull().default(0),
    lastPulledAt: time('last_pulled_at'),
    lastPushedAt: time('last_pushed_at'),
    /** The linked blobs, their bytes, and the bytes of those that no other repository links. Updated by triggers. */
    blobCount: integer('blob_count').notNull().default(0),
    blobBytes: integer('blob_bytes').notNull().default(0),
    ownBytes: integer('own_bytes').notNull().default(0),
    /** Its tags, its manifests that are not deleted, and their bytes. Updated by triggers. */
    tagCount: integer('tag_count').notNull().default(0),
    manifestCount: integer('manifest_count').notNull().default(0),
    manifestBytes: integer('manifest_bytes').notNull().default(0),
    /** The upstream that its content is cached from, which is the first component of its name; null for a local one. */
    upstream: text('upstream'),
    version: version(),
  },
  (t) => [
    uniqueIndex('repository_name').on(t.name).where(sql`deleted_at is null`),
    index('repository_deleted').on(t.deletedAt).where(sql`deleted_at is not null`),
  ],
)

/** Blobs with verified and durable bytes: those of small blobs in `blob_bytes`, all others in files. */
export const blob = sqliteTable('blob', {
  id: integer('id').primaryKey(),
  digest: digestBytes('digest').unique(),
  size: integer('size').notNull(),
  storedAt: time('stored_at').notNull(),
  verifiedAt: time('verified_at').notNull(),
  /** Whether every link of it is cached, so that it may be evicted. Updated by triggers. */
  isCached: integer('is_cached', { mode: 'boolean' }).notNull().default(false),
})

/** The bytes of small blobs. A file for each would cost each push two more syncs. */
export const blobBytes = sqliteTable('blob_bytes', {
  blobId: integer('blob_id')
    .primaryKey()
    .references(() => blob.id, { onDelete: 'cascade' }),
  bytes: bytes('bytes', { mode: 'buffer' }).notNull(),
})

/**
 * Links, the only way to reach a blob through a repository. The table is WITHOUT ROWID, which Drizzle cannot express.
 */
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
    /** Since when no manifest of the repository references the blob; null while one does. */
    unreferencedAt: time('unreferenced_at'),
    deletedAt: time('deleted_at'),
    /** Whether it came from the upstream, and was never pushed or mounted. */
    isCached: integer('is_cached', { mode: 'boolean' }).notNull().default(false),
  },
  (t) => [
    primaryKey({ columns: [t.repositoryId, t.blobId] }),
    index('repository_blob_of').on(t.blobId, t.repositoryId),
    index('repository_blob_unreferenced')
      .on(t.unreferencedAt, t.repositoryId, t.blobId)
      .where(sql`unreferenced_at is not null`),
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
    /** Since when no tag, index or subject references it, if one ever did. */
    unreferencedAt: time('unreferenced_at'),
    /** Since when it has existed, if none ever did. */
    untaggedAt: time('untagged_at'),
    /** When it last lost a tag, index or subject that can be restored, even if others still reference it. */
    leftAt: time('left_at'),
    /** When cached content was last used; null for pushed content, which is never evicted. */
    usedAt: time('used_at'),
    version: version(),
  },
  (t) => [
    uniqueIndex('manifest_digest_unique').on(t.digest, t.repositoryId),
    index('manifest_subject').on(t.repositoryId, t.subject, t.digest).where(sql`subject is not null`),
    index('manifest_repository').on(t.repositoryId),
    index('manifest_hidden').on(t.repositoryId).where(sql`deleted_at is not null`),
    index('manifest_deleted').on(t.deletedAt).where(sql`deleted_at is not null`),
    index('manifest_unreferenced').on(t.unreferencedAt).where(sql`unreferenced_at is not null`),
    index('manifest_used').on(t.usedAt).where(sql`used_at is not null`),
    index('manifest_untagged').on(t.repositoryId, t.untaggedAt).where(sql`untagged_at is not null`),
  ],
)

/** Additional digests of a manifest, in other algorithms than the first one. */
export const manifestDigest = sqliteTable(
  'manifest_digest',
  {
    repositoryId: integer('repository_id').notNull(),
    digest: digestBytes('digest'),
    manifestId: integer('manifest_id')
      .notNull()
      .references(() => manifest.id),
  },
  (t) => [
    primaryKey({ columns: [t.repositoryId, t.digest] }),
    index('manifest_digest_of').on(t.manifestId),
    index('manifest_digest_name').on(t.digest),
  ],
)

/** The bytes of manifests, stored once per digest for all repositories, apart from the rows that lists read. */
export const manifestBytes = sqliteTable('manifest_bytes', {
  digest: digestBytes('digest').primaryKey(),
  bytes: bytes('bytes', { mode: 'buffer' }).notNull(),
})

/**
 * What manifests reference. There are no foreign keys, because foreign layers and children of sparse indexes may be
 * absent. The repository is the manifest's, so that finding a reference to a digest in one repository takes one
 * look-up. The table is WITHOUT ROWID, which Drizzle cannot express.
 */
export const manifestReference = sqliteTable(
  'manifest_reference',
  {
    manifestId: integer('manifest_id')
      .notNull()
      .references(() => manifest.id),
    digest: digestBytes('digest'),
    role: text('role', { enum: ['config', 'layer', 'blob', 'child', 'foreign'] }).notNull(),
    repositoryId: integer('repository_id').notNull(),
  },
  (t) => [
    primaryKey({ columns: [t.manifestId, t.digest] }),
    index('manifest_reference_named').on(t.digest, t.repositoryId),
  ],
)

/** Conversions of manifests for old Docker clients, so that a conversion can be pulled by its own digest. */
export const convertedManifest = sqliteTable(
  'converted_manifest',
  {
    repositoryId: integer('repository_id')
      .notNull()
      .references(() => repository.id),
    digest: digestBytes('digest'),
    manifestId: integer('manifest_id')
      .notNull()
      .references(() => manifest.id, { onDelete: 'cascade' }),
    /** The tag that the conversion contains. */
    tag: text('tag').notNull(),
  },
  (t) => [
    primaryKey({ columns: [t.repositoryId, t.digest] }),
    index('converted_manifest_of').on(t.manifestId),
  ],
)

/**
 * Single values of the database: the last version that was reserved (`version`, see `versions.ts`), and sums that triggers
 * update with every change, because they would be slow to count (`blob.count`, `blob.bytes`,
 * `cache.count`, `cache.bytes`, `cache.manifest_bytes`).
 */
export const total = sqliteTable('total', {
  name: text('name').primaryKey(),
  value: integer('value').notNull(),
})

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
    /** When the tag expires. */
    expiresAt: time('expires_at'),
    pulls: integer('pulls').notNull().default(0),
    lastPulledAt: time('last_pulled_at'),
    /** When the upstream last confirmed the tag; null for a pushed one. */
    checkedAt: time('checked_at'),
    version: version(),
  },
  (t) => [
    primaryKey({ columns: [t.repositoryId, t.name] }),
    index('tag_manifest').on(t.manifestId),
    index('tag_updated').on(t.repositoryId, t.updatedAt, t.name),
    index('tag_expires').on(t.expiresAt).where(sql`expires_at is not null`),
  ],
)

/**
 * The moves of tags. `digest` is where the tag points from `at` on, null after a deletion; `previous` is where it
 * pointed before.
 */
export const tagHistory = sqliteTable(
  'tag_history',
  {
    id: integer('id').primaryKey(),
    repositoryId: integer('repository_id').notNull(),
    name: text('name').notNull(),
    digest: bytes('digest', { mode: 'buffer' }),
    previous: bytes('previous', { mode: 'buffer' }),
    /** When the tag would have expired while it pointed at `previous`; null for never. */
    previousExpiresAt: time('previous_expires_at'),
    at: time('at').notNull(),
    /** The act that moved it, as in the outbox. */
    act: text('act').notNull().default(''),
    /** Why, if a rule decided it. */
    reason: text('reason'),
    account: text('account'),
    credential: text('credential'),
    address: text('address').notNull(),
    requestId: text('request_id').notNull(),
  },
  (t) => [
    index('tag_history_tag').on(t.repositoryId, t.name, t.id),
    index('tag_history_at').on(t.repositoryId, t.at),
  ],
)

/** The outbox: events, each written in the transaction of its change. */
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

/* The tables of the cache's settings. Times are milliseconds since 1970. */

/** Pins of cached content. The reference is a tag, a digest, or empty for everything in the repositories. */
export const cachePin = sqliteTable(
  'cache_pin',
  {
    pattern: text('pattern').notNull(),
    reference: text('reference').notNull(),
    createdAt: integer('created_at').notNull(),
  },
  (t) => [primaryKey({ columns: [t.pattern, t.reference] })],
)

/** The upstreams that were added with the API. Configured ones have no row. */
export const upstream = sqliteTable('upstream', {
  name: text('name').primaryKey(),
  /** A JSON object, without secrets. */
  settings: text('settings').notNull(),
  /** The password, or the token if the settings have no username. */
  secret: text('secret'),
  createdAt: integer('created_at').notNull(),
  changedAt: integer('changed_at').notNull(),
  /** Changes with the row: see `versions.ts`. */
  version: integer('version').notNull(),
})

/** Content whose damaged bytes were moved to quarantine. Pushing it again repairs it. */
export const damagedContent = sqliteTable('damaged_content', {
  digest: bytes('digest', { mode: 'buffer' }).primaryKey(),
  kind: text('kind', { enum: ['blob', 'manifest'] }).notNull(),
  size: integer('size').notNull(),
  /** Milliseconds since 1970. */
  foundAt: integer('found_at').notNull(),
})

/**
 * The labels of manifests that a search finds, as `NAME=VALUE`: see `searchableLabels`. The key begins with the
 * repository, so that a search reads no labels of repositories that the caller may not see. The table is WITHOUT ROWID,
 * which Drizzle cannot express.
 */
export const manifestLabel = sqliteTable(
  'manifest_label',
  {
    repositoryId: integer('repository_id').notNull(),
    label: text('label').notNull(),
    manifestId: integer('manifest_id')
      .notNull()
      .references(() => manifest.id, { onDelete: 'cascade' }),
  },
  (t) => [
    primaryKey({ columns: [t.repositoryId, t.label, t.manifestId] }),
    index('manifest_label_of').on(t.manifestId),
  ],
)

/**
 * How often an account pulled a tag on a day. The repository may no longer exist. Its id is never reused, and rows
 * are deleted after 90 days.
 */
export const pull = sqliteTable(
  'pull',
  {
    id: integer('id').primaryKey(),
    repositoryId: integer('repository_id').notNull(),
    /** Empty for a pull by digest. */
    tag: text('tag').notNull(),
    /** Days since 1970, in UTC. */
    day: integer('day').notNull(),
    /** Empty for anonymous. */
    account: text('account').notNull(),
    pulls: integer('pulls').notNull(),
  },
  (t) => [
    uniqueIndex('pull_of').on(t.repositoryId, t.tag, t.day, t.account),
    index('pull_repository').on(t.repositoryId, t.day),
    index('pull_day').on(t.day, t.account),
  ],
)

/* The tables of quotas. Triggers keep the sums while there is a quota: see `quota/usage.ts`. */

/** The quotas that were set with the API. Configured ones have no row. */
export const quota = sqliteTable('quota', {
  namespace: text('namespace').primaryKey(),
  bytesMax: integer('bytes_max'),
  repositoriesMax: integer('repositories_max'),
  tagsMax: integer('tags_max'),
  /** Changes with the row: see `versions.ts`. */
  version: integer('version').notNull(),
})

const sum = (name: string) => integer(name).notNull().default(sql`0`)

/** What the repositories of a namespace hold, except those of upstreams. The row `**` is the total, without blobs. */
export const namespaceUsage = sqliteTable('namespace_usage', {
  namespace: text('namespace').primaryKey(),
  blobBytes: sum('blob_bytes'),
  manifestBytes: sum('manifest_bytes'),
  repositories: sum('repositories'),
  tags: sum('tags'),
})

/** How many repositories of a namespace link a blob. The table is WITHOUT ROWID, which Drizzle cannot express. */
export const namespaceBlob = sqliteTable(
  'namespace_blob',
  {
    namespace: text('namespace').notNull(),
    blobId: integer('blob_id').notNull(),
    links: integer('links').notNull(),
  },
  (t) => [primaryKey({ columns: [t.namespace, t.blobId] })],
)

/* The tables of retention. Times are milliseconds since 1970. */

/** The policies that were set with the API. Configured ones have no row. */
export const retentionPolicy = sqliteTable('retention_policy', {
  name: text('name').primaryKey(),
  /** A JSON object. */
  settings: text('settings').notNull(),
  createdAt: integer('created_at').notNull(),
  changedAt: integer('changed_at').notNull(),
  /** Changes with the row: see `versions.ts`. */
  version: integer('version').notNull(),
})

/** When something in a repository may expire. Without a row, nothing can expire until the repository changes. */
export const retentionDue = sqliteTable(
  'retention_due',
  {
    repositoryId: integer('repository_id').primaryKey(),
    dueAt: integer('due_at').notNull(),
  },
  (t) => [index('retention_due_at').on(t.dueAt)],
)
