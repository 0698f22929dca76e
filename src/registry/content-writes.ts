import { and, desc, eq, gte, type Placeholder, type SQL, sql } from 'drizzle-orm'
import type { Condition, Write } from '../access/access.ts'
import type { Db } from '../database/database.ts'
import {
  CONTENT_STALE,
  checkVersion,
  type Parts,
  type Stale,
  type VersionOfCall,
} from '../database/operation.ts'
import type { RecordEvent } from '../database/outbox.ts'
import { repository } from '../database/schema.ts'
import { number, statement, text, updateBy } from '../database/statement.ts'
import { type Digest, digestFromBytes, digestToBytes } from '../oci/digest.ts'
import { registryError } from '../oci/error.ts'
import type { Reference, RepositoryName, Tag } from '../oci/reference.ts'
import type { LabelRows } from './manifest-reads.ts'
import type { FindManifest, ManifestPut, ManifestRows, ReferenceRows, StoredRow } from './manifest-rows.ts'
import type { Reachability } from './marks.ts'
import type { EnsureRepository, RepositoryReads } from './repository-rows.ts'
import { deletedThen, type Restore, tooLongAgo } from './tag-lines.ts'
import type { TagMoves } from './tag-rows.ts'

declare module '../database/metadata.ts' {
  interface Operations
    extends ReturnType<typeof manifestWrites>,
      ReturnType<typeof tagWrites>,
      ReturnType<typeof repositoryWrites>,
      ReturnType<typeof repositoryRestores> {}
}

export interface ManifestDelete extends Write {
  repository: RepositoryName
  reference: Reference
  /** The condition on the digest of the tag. */
  precondition?: Condition | undefined
}

interface Means {
  recordEvent: RecordEvent
  find: RepositoryReads['find']
  ensure: EnsureRepository
  tags: TagMoves
  rows: ManifestRows
  references: ReferenceRows
  labels: LabelRows
  reach: Reachability
}

/** Writes of manifests and their tags, each for one call of the writer. */
export function manifestWrites(means: Means) {
  const { recordEvent, ensure, tags, rows, references, labels, reach } = means
  /** A shorter path for new images, which list no manifests. Most pushes are of this kind. */
  const markReached = (
    repositoryId: number,
    stored: StoredRow,
    { digest, sha256, manifest }: ManifestPut,
  ) => {
    if (!stored.inserted || manifest.references.some(({ role }) => role === 'child')) {
      return reach.appeared(stored.id)
    }
    reach.subjectCame(repositoryId, [...new Set([digest, sha256])].map(digestToBytes))
  }
  return {
    /**
     * Stores a manifest and points its tags at it. Returns whether cached data is stale. Throws MANIFEST_BLOB_UNKNOWN
     * with one entry for each of the first 100 references that the repository lacks, and DENIED (409) for a tag that
     * cannot be moved.
     */
    putManifest(call: ManifestPut): { stale: Stale | undefined } {
      const repositoryId = ensure.local(call.repository, call.at)
      for (const name of call.tags) tags.check(repositoryId, name, call)
      const unused = references.check(repositoryId, call)
      const stored = rows.put(repositoryId, call)
      if (stored.inserted) {
        references.insert(repositoryId, stored.id, call.manifest.references)
        references.use(repositoryId, unused)
      } else references.markUsed(repositoryId, stored.id)
      labels.put(repositoryId, stored.id, call.labels)
      if (stored.appeared) markReached(repositoryId, stored, call)
      let replaced = stored.replaced
      const { caller, at, digest, expiresAfterSeconds } = call
      const expiresAt = expiresAfterSeconds === undefined ? null : at + expiresAfterSeconds * 1000
      const target = { caller, at, digest, expiresAt, act: 'manifest.push' } as const
      for (const name of call.tags) {
        if (tags.move(repositoryId, name, stored.id, target)) replaced = true
      }
      if (stored.appeared && call.tags.length === 0) reach.untagged(stored.id, call.at)
      const change = { type: 'manifest.push', repository: call.repository, digest: call.digest } as const
      for (const name of call.tags) recordEvent({ ...change, tag: name }, call.caller, call.at)
      if (call.tags.length === 0) recordEvent(change, call.caller, call.at)
      return { stale: replaced ? 'content' : undefined }
    },

    deleteManifest: manifestDeletion(means),
  }
}

/** Deletes a manifest and the tags that point at it, or one tag. Throws NAME_UNKNOWN or MANIFEST_UNKNOWN. */
function manifestDeletion(means: Means) {
  const { recordEvent, find, tags } = means
  const hide = manifestHiding(means)
  return function* deleteManifest(call: ManifestDelete): Parts<typeof CONTENT_STALE> {
    const repositoryId = find(call.repository)
    if (repositoryId === undefined) throw registryError('NAME_UNKNOWN')
    const { digest, tag } = call.reference
    if (tag === undefined) return yield* hide(repositoryId, digest, call)
    tags.check(repositoryId, tag, call)
    if (!tags.remove(repositoryId, tag, { caller: call.caller, at: call.at, act: 'tag.delete' })) {
      throw registryError('MANIFEST_UNKNOWN', `${call.repository} has no tag "${tag}"`)
    }
    recordEvent({ type: 'tag.delete', repository: call.repository, tag }, call.caller, call.at)
    return CONTENT_STALE
  }
}

function manifestHiding({ recordEvent, tags, rows, reach }: Means) {
  /** The deletions that are between two of their parts: the ids of manifests, and when each was deleted. */
  const unfinished = new Map<number, number>()
  return function* hide(
    repositoryId: number,
    digest: Digest,
    call: ManifestDelete,
  ): Parts<typeof CONTENT_STALE> {
    const found = rows.find(repositoryId, digestToBytes(digest))
    if (found === undefined) throw registryError('MANIFEST_UNKNOWN')
    const { id, deletedAt } = found
    // If the process ended between two parts of a deletion, repeating the call removes the remaining tags.
    const isGone = deletedAt !== null && (unfinished.get(id) === deletedAt || !tags.isTagged(id))
    if (isGone) throw registryError('MANIFEST_UNKNOWN')
    const { caller, repository } = call
    const at = deletedAt ?? call.at
    const move = { caller, at, act: 'manifest.delete' } as const
    try {
      if (deletedAt === null) {
        checkVersion(`the manifest ${digest}`, found.version, call.condition)
        rows.hide(id, at)
        reach.vanished(id, at)
        recordEvent({ type: 'manifest.delete', repository, digest }, caller, at)
        if (!tags.removeSome(repositoryId, id, move)) return CONTENT_STALE
        unfinished.set(id, at)
        yield CONTENT_STALE
      }
      unfinished.set(id, at)
      // A push that restores the manifest meanwhile counts as later than the deletion, so its tags stay.
      const isDeleted = () => rows.find(repositoryId, digestToBytes(digest))?.deletedAt === at
      while (isDeleted() && tags.removeRest(repositoryId, id, move)) yield CONTENT_STALE
      return CONTENT_STALE
    } finally {
      if (unfinished.get(id) === at) unfinished.delete(id)
    }
  }
}

/** The last millisecond that RFC 3339 can express. */
const LAST_TIME = Date.UTC(9999, 11, 31, 23, 59, 59, 999)

export interface TagWrite extends Write {
  repository: RepositoryName
  tag: Tag
}

/** Changes of tags apart from pushes, each for one call of the writer. */
export function tagWrites({
  recordEvent,
  tags,
  findManifest,
  begin,
}: {
  recordEvent: RecordEvent
  tags: TagMoves
  findManifest: FindManifest
  begin: BeginTagWrite
}) {
  return {
    /** Points a tag at a manifest of the repository. Throws NAME_UNKNOWN, MANIFEST_UNKNOWN, DENIED (409, 412). */
    putTag(call: TagWrite & { digest: Digest }): { stale: 'content'; isNew: boolean } {
      const repositoryId = begin(call)
      const { caller, at, digest, repository, tag } = call
      const found = findManifest(repositoryId, digestToBytes(digest))
      if (found === undefined || found.deletedAt !== null)
        throw registryError('MANIFEST_UNKNOWN', `${repository} has no manifest ${digest}`)
      const isNew = tags.find(repositoryId, tag, at) === undefined
      const isOther = tags.move(repositoryId, tag, found.id, { caller, at, digest, act: 'tag.put' })
      if (isNew || isOther) recordEvent({ type: 'tag.put', repository, tag, digest }, caller, at)
      return { stale: 'content', isNew }
    },

    /**
     * Sets when a tag expires: a time in the future, or null for never. Throws NAME_UNKNOWN, MANIFEST_UNKNOWN,
     * DENIED, REQUEST_INVALID.
     */
    expireTag(call: TagWrite & { expiresAt: number | null }): { stale: 'content' } {
      const repositoryId = begin(call)
      const { caller, at, repository, tag, expiresAt } = call
      if (expiresAt !== null && expiresAt <= at)
        throw registryError(
          'REQUEST_INVALID',
          'expiresAt must be in the future; to expire the tag now, delete it',
        )
      if (expiresAt !== null && expiresAt > LAST_TIME)
        throw registryError('REQUEST_INVALID', 'expiresAt must be before the year 10000, or null for never')
      const row = tags.find(repositoryId, tag, at)
      if (row === undefined) throw registryError('MANIFEST_UNKNOWN', `${repository} has no tag "${tag}"`)
      if (row.expiresAt === expiresAt) return { stale: 'content' }
      tags.setEnd(repositoryId, tag, row, expiresAt)
      recordEvent({ type: 'tag.change', repository, tag, digest: digestFromBytes(row.digest) }, caller, at)
      return { stale: 'content' }
    },
  }
}

/**
 * Begins every write of a tag: checks the condition and returns the repository's id. Throws NAME_UNKNOWN, or DENIED
 * (412).
 */
export type BeginTagWrite = (call: TagWrite) => number

export function tagWriteBeginning(find: RepositoryReads['find'], tags: TagMoves): BeginTagWrite {
  return (call) => {
    const repositoryId = find(call.repository)
    if (repositoryId === undefined)
      throw registryError('NAME_UNKNOWN', `there is no repository ${call.repository}`)
    tags.check(repositoryId, call.tag, call)
    return repositoryId
  }
}

/** The settings of a repository. */
export interface RepositorySettings {
  description: string
  /** Days until a manifest that never had a tag is collected; null for the server's setting. */
  untaggedDays: number | null
  /** Whether its tags can only be created, not moved or deleted. */
  immutableTags: boolean
  /** The same for tags that match one of these patterns. */
  immutablePatterns: string[]
}

interface RepositoryState extends RepositorySettings {
  id: number
  version: number
}

/** A write of one repository. It throws PRECONDITION_FAILED when its condition does not hold. */
export interface RepositoryWrite extends Write {
  repository: RepositoryName
}

const DEFAULTS: RepositorySettings = {
  description: '',
  untaggedDays: null,
  immutableTags: false,
  immutablePatterns: [],
}

/** Changes of repositories, each for one call of the writer. */
export function repositoryWrites({
  recordEvent,
  ensure,
  rows,
}: {
  recordEvent: RecordEvent
  ensure: EnsureRepository
  rows: RepositoryRows
}) {
  const get = ({ repository, condition }: RepositoryWrite): RepositoryState | undefined => {
    const row = rows.find.get({ name: repository })
    checkVersion(`the repository ${repository}`, row?.version, condition)
    return row
  }
  const getThere = (call: RepositoryWrite): RepositoryState => {
    const row = get(call)
    if (row !== undefined) return row
    throw registryError('NAME_UNKNOWN', `there is no repository ${call.repository}`)
  }
  const change = (call: RepositoryWrite, row: RepositoryState, settings: RepositorySettings): boolean => {
    if (isSame(row, settings)) return false
    rows.change(row.id, settings)
    recordEvent({ type: 'repository.change', repository: call.repository }, call.caller, call.at)
    return true
  }

  return {
    /** Creates a repository, or replaces the settings of an existing one. Omitted settings get their defaults. */
    putRepository(call: RepositoryWrite & Partial<RepositorySettings>): { id: number; isNew: boolean } {
      const { repository, caller, at } = call
      const settings = settingsOf(call, DEFAULTS)
      const row = get(call)
      if (row !== undefined) {
        change(call, row, settings)
        return { id: row.id, isNew: false }
      }
      const id = ensure.local(repository, at)
      if (!isSame(DEFAULTS, settings)) rows.change(id, settings)
      recordEvent({ type: 'repository.create', repository }, caller, at)
      return { id, isNew: true }
    },

    /** Changes the settings that are given. Throws NAME_UNKNOWN, or PRECONDITION_FAILED. */
    changeRepository(call: RepositoryWrite & { change: Partial<RepositorySettings> }): { id: number } {
      const row = getThere(call)
      change(call, row, settingsOf(call.change, row))
      return { id: row.id }
    },

    /** Deletes a repository with its content. Throws NAME_UNKNOWN, or PRECONDITION_FAILED. */
    deleteRepository(call: RepositoryWrite): { stale: 'content' } {
      const { id } = getThere(call)
      rows.setDeleted(id, call.at)
      recordEvent({ type: 'repository.delete', repository: call.repository }, call.caller, call.at)
      return { stale: 'content' }
    },
  }
}

/** Writes that restore deleted repositories, each for one call of the writer. */
export function repositoryRestores({
  recordEvent,
  find,
  rows,
}: {
  recordEvent: RecordEvent
  find: RepositoryReads['find']
  rows: RepositoryRows
}) {
  return {
    /**
     * Restores the repository that was deleted at a time, or the one that was deleted last. Throws NAME_UNKNOWN, and
     * CONFLICT when a repository of that name exists.
     */
    restoreRepository(call: Restore & { deletedAt?: number | undefined }): { id: number } {
      const { repository, caller, at, deletedAt } = call
      if (find(repository) !== undefined) {
        throw registryError(
          'CONFLICT',
          `a repository ${repository} exists: delete it first, then restore this one`,
        )
      }
      const row =
        deletedAt === undefined
          ? rows.lastDeleted.get({ name: repository, windowStart: call.windowStart })
          : rows.deletedAt.get({ name: repository, deletedAt })
      if (row === undefined)
        throw registryError('NAME_UNKNOWN', `no repository ${repository} ${deletedThen(call)}`)
      if (row.deletedAt < call.windowStart)
        throw registryError('NAME_UNKNOWN', `${repository} ${tooLongAgo(row.deletedAt, call)}`)
      rows.setDeleted(row.id, null)
      recordEvent({ type: 'repository.restore', repository }, caller, at)
      return { id: row.id }
    },
  }
}

export type RepositoryRows = ReturnType<typeof repositoryRows>

export function repositoryRows(db: Db, version: VersionOfCall) {
  const deleted = (name: Placeholder, condition: SQL) =>
    db
      .select({ id: repository.id, deletedAt: sql<number>`${repository.deletedAt}` })
      .from(repository)
      .where(and(eq(repository.name, name), condition))
      .orderBy(desc(repository.deletedAt), desc(repository.id))
      .limit(1)
  const change = updateBy(
    db,
    repository,
    ['description', 'untaggedDays', 'immutableTags', 'immutablePatterns', 'version'],
    'id',
  )
  const setDeleted = updateBy(db, repository, ['deletedAt', 'version'], 'id')
  return {
    find: statement(db, { name: text }, ({ name }) =>
      db
        .select({
          id: repository.id,
          description: repository.description,
          untaggedDays: repository.untaggedDays,
          immutableTags: repository.immutableTags,
          immutablePatterns: repository.immutablePatterns,
          version: repository.version,
        })
        .from(repository)
        .where(and(eq(repository.name, name), sql`${repository.deletedAt} is null`)),
    ),
    lastDeleted: statement(db, { name: text, windowStart: number }, ({ name, windowStart }) =>
      deleted(name, gte(repository.deletedAt, windowStart)),
    ),
    deletedAt: statement(db, { name: text, deletedAt: number }, ({ name, deletedAt }) =>
      deleted(name, eq(repository.deletedAt, deletedAt)),
    ),
    change: (id: number, settings: RepositorySettings) => change.run({ ...settings, id, version: version() }),
    setDeleted: (id: number, deletedAt: number | null) =>
      setDeleted.run({ id, deletedAt, version: version() }),
  }
}

function settingsOf(given: Partial<RepositorySettings>, otherwise: RepositorySettings): RepositorySettings {
  const { description, untaggedDays, immutableTags, immutablePatterns } = given
  return {
    description: description ?? otherwise.description,
    untaggedDays: untaggedDays === undefined ? otherwise.untaggedDays : untaggedDays,
    immutableTags: immutableTags ?? otherwise.immutableTags,
    immutablePatterns: immutablePatterns ?? otherwise.immutablePatterns,
  }
}

function isSame(a: RepositorySettings, b: RepositorySettings): boolean {
  return (
    a.description === b.description &&
    a.untaggedDays === b.untaggedDays &&
    a.immutableTags === b.immutableTags &&
    a.immutablePatterns.join() === b.immutablePatterns.join()
  )
}
