import { eq, type Placeholder, type SQL, sql } from 'drizzle-orm'
import { type Condition, holds, SYSTEM, type Write } from '../access/access.ts'
import { tagMatcher } from '../access/patterns.ts'
import type { Db } from '../database/database.ts'
import {
  CONTENT_STALE,
  checkVersion,
  type Parts,
  partTime,
  type VersionOfCall,
} from '../database/operation.ts'
import type { EventType, RecordEvent } from '../database/outbox.ts'
import { repository, tag } from '../database/schema.ts'
import {
  bytes,
  deleteBy,
  number,
  optional,
  selectBy,
  statement,
  text,
  updateBy,
} from '../database/statement.ts'
import { registryError } from '../oci/error.ts'
import {
  type Digest,
  digestFromBytes,
  digestToBytes,
  type RepositoryName,
  type Tag,
} from '../oci/reference.ts'
import type { Reachability } from './manifests.ts'
import { inTimeOrder, type TagLines, type TimePlace } from './tag-history.ts'

/** How many expired tags are read at once. */
const EXPIRED_READ = 200

/** A move of a tag: who moved it, when, and by which act. */
interface Move extends Write {
  act: EventType
  /** Why, if a policy decided it. */
  reason?: string | undefined
}

/** The state of a tag. */
interface TagNow {
  manifestId: number
  /** The digest that the manifest was pushed with under this tag. */
  digest: Buffer
  /** Milliseconds since 1970; null for never. */
  expiresAt: number | null
  /** When its upstream last confirmed it; null for a pushed one. */
  checkedAt: number | null
  version: number
}

/** The new target of a tag. Without `checkedAt`, the tag was pushed. */
export type TagTarget = Omit<TagNow, 'checkedAt' | 'version'> & Partial<Pick<TagNow, 'checkedAt'>>

export type TagRows = ReturnType<typeof tagRows>

/**
 * Creates, moves and removes the rows of tags, each with an entry in the history. No other code writes them. An
 * expired tag is removed, with the time of its expiry, before anything else is done with it.
 */
export function tagRows(
  db: Db,
  {
    recordEvent,
    lines,
    reach,
    version,
  }: { recordEvent: RecordEvent; lines: TagLines; reach: Reachability; version: VersionOfCall },
) {
  const statements = tagStatements(db)
  const repositories = selectBy(db, repository, 'id')

  const remove = (repositoryId: number, name: Tag, row: TagNow, move: Move) => {
    statements.remove.run({ repositoryId, name })
    lines.add(repositoryId, name, { ...move, digest: null, previous: row })
    reach.lost(row.manifestId, move.at)
  }
  const find = (repositoryId: number, name: Tag, at: number): TagNow | undefined => {
    const row = statements.find.get({ repositoryId, name })
    if (row === undefined || row.expiresAt === null || row.expiresAt > at) return row
    remove(repositoryId, name, row, { caller: SYSTEM, at: row.expiresAt, act: 'tag.expire' })
    const repository = repositories.get({ id: repositoryId })?.name as RepositoryName
    const digest = digestFromBytes(row.digest)
    recordEvent({ type: 'tag.expire', repository, tag: name, digest }, SYSTEM, row.expiresAt)
    return undefined
  }

  return {
    /** Finds a tag that has not expired. */
    find,

    /** Creates the tag, or points it elsewhere; `before` is its previous state. */
    put(repositoryId: number, name: Tag, row: TagTarget, before: TagNow | undefined, move: Move): void {
      statements.put.run({
        checkedAt: null,
        ...row,
        repositoryId,
        name,
        updatedAt: move.at,
        version: version(),
      })
      lines.add(repositoryId, name, { ...move, digest: row.digest, previous: before })
      reach.reached(row.manifestId)
      if (before !== undefined && before.manifestId !== row.manifestId) reach.lost(before.manifestId, move.at)
    },

    /** Removes the tag in `row`. */
    remove,

    setEnd: (repositoryId: number, name: Tag, expiresAt: number | null) =>
      statements.setEnd.run({ repositoryId, name, expiresAt, version: version() }),

    /** Returns at most `limit` tags that point at a manifest, including expired ones. */
    pointingAt: (manifestId: number, limit = Number.MAX_SAFE_INTEGER): Tag[] =>
      statements.pointing.all({ manifestId, limit }).map((row) => row.name as Tag),

    /** Yields the expired tags of all repositories. */
    expired: (until: number): Iterable<{ repositoryId: number; name: Tag }> =>
      inTimeOrder(
        { at: 0, id: 0 },
        {
          sameTime: (after) => statements.expiredAt.all({ ...after, limit: EXPIRED_READ }),
          later: ({ at }) => statements.expiredAfter.all({ at, until, limit: EXPIRED_READ }),
        },
      ),
  }
}

function tagStatements(db: Db) {
  const named = { repositoryId: number, name: text }
  const expired = (when: SQL, limit: Placeholder) =>
    sql<TimePlace & { repositoryId: number; name: Tag }>`
      select repository_id as "repositoryId", name, expires_at as at, rowid as id from tag where ${when}
      order by expires_at, rowid limit ${limit}`
  return {
    find: selectBy(db, tag, 'repositoryId', 'name'),
    put: statement(
      db,
      {
        ...named,
        manifestId: number,
        digest: bytes,
        updatedAt: number,
        expiresAt: optional(number),
        checkedAt: optional(number),
        version: number,
      },
      (row) =>
        db
          .insert(tag)
          .values(row)
          .onConflictDoUpdate({
            target: [tag.repositoryId, tag.name],
            set: {
              manifestId: sql`excluded.manifest_id`,
              digest: sql`excluded.digest`,
              updatedAt: sql`excluded.updated_at`,
              expiresAt: sql`excluded.expires_at`,
              checkedAt: sql`excluded.checked_at`,
              version: sql`excluded.version`,
            },
          }),
    ),
    setEnd: updateBy(db, tag, ['expiresAt', 'version'], 'repositoryId', 'name'),
    remove: deleteBy(db, tag, 'repositoryId', 'name'),
    pointing: statement(db, { manifestId: number, limit: number }, ({ manifestId, limit }) =>
      db.select({ name: tag.name }).from(tag).where(eq(tag.manifestId, manifestId)).limit(limit),
    ),
    expiredAt: statement(db, { at: number, id: number, limit: number }, ({ at, id, limit }) =>
      expired(sql`expires_at = ${at} and rowid > ${id}`, limit),
    ),
    expiredAfter: statement(db, { at: number, until: number, limit: number }, ({ at, until, limit }) =>
      expired(sql`expires_at > ${at} and expires_at <= ${until}`, limit),
    ),
  }
}

/** The new target of a tag, and when the tag expires. */
export interface Target extends Move {
  digest: Digest
  /** Milliseconds since 1970. */
  expiresAt?: number | null | undefined
}

/** The condition of a write on a tag: on its version or, in requests about its manifest, on its digest. */
export interface TagExpectation {
  condition?: Condition | undefined
  precondition?: Condition | undefined
  at: number
}

export interface TagWrite extends Write {
  repository: RepositoryName
  tag: Tag
}

/** How many tags are read at once. */
const TAGS_READ = 200

/** Moves and deletes tags, within the repository's rules of immutability. */
export function tagMoves(rows: TagRows, immutable: Immutability) {
  const { rulesOf, isImmutable, refuseImmutable } = immutable
  const remove: RemoveTag = (repositoryId, name, move, isDecided = false) => {
    const row = rows.find(repositoryId, name, move.at)
    if (row === undefined) return false
    if (!isDecided) refuseImmutable(repositoryId, name, row)
    rows.remove(repositoryId, name, row, move)
    return true
  }
  return {
    /** Finds a tag that has not expired. */
    find: rows.find,

    /** Throws 412 when the tag does not meet the condition. */
    check(repositoryId: number, name: Tag, { precondition, condition, at }: TagExpectation): void {
      if (precondition === undefined && condition === undefined) return
      const found = rows.find(repositoryId, name, at)
      checkVersion(`the tag ${name}`, found?.version, condition)
      if (precondition !== undefined) checkDigest(name, found, precondition)
    },

    /**
     * Points the tag at a manifest until `expiresAt`. The expiry of an existing immutable tag can only be extended.
     * Returns whether cached data about the tag is stale. Throws DENIED (409) when the tag points elsewhere and is
     * immutable.
     */
    move(repositoryId: number, name: Tag, manifestId: number, target: Target): boolean {
      const digest = digestToBytes(target.digest)
      const { caller, at, act, expiresAt = null } = target
      const before = rows.find(repositoryId, name, at)
      if (before?.manifestId === manifestId && before.digest.equals(digest) && before.checkedAt === null) {
        if (before.expiresAt === expiresAt) return false
        // Expiry is a deletion. Otherwise, pushing the same manifest again could make an immutable tag expire.
        if (isSooner(expiresAt, before.expiresAt) && isImmutable(repositoryId, name)) return false
        rows.setEnd(repositoryId, name, expiresAt)
        return true
      }
      if (before !== undefined) refuseImmutable(repositoryId, name, before)
      rows.put(repositoryId, name, { manifestId, digest, expiresAt }, before, { caller, at, act })
      return before !== undefined
    },

    /** Deletes the tag. Returns whether it existed. Throws DENIED (409) when it is immutable. */
    remove: (repositoryId: number, name: Tag, move: Move): boolean => remove(repositoryId, name, move),

    /** Sets when the tag in `row` expires; null is never. Throws DENIED (409) when it is immutable. */
    setEnd(repositoryId: number, name: Tag, row: TagNow, expiresAt: number | null): void {
      if (expiresAt !== null) refuseImmutable(repositoryId, name, row)
      rows.setEnd(repositoryId, name, expiresAt)
    },

    /** Reports whether some tags of the repository are immutable. */
    hasImmutable: (repositoryId: number): boolean => rulesOf(repositoryId) !== undefined,

    ...manyTags(rows, immutable, remove),
  }
}

/** Deletes a tag; one that the caller has decided on, even if it is immutable. Returns whether it existed. */
type RemoveTag = (repositoryId: number, name: Tag, move: Move, isDecided?: boolean) => boolean

/** Moves many tags, some at a time. */
function manyTags(rows: TagRows, { rulesOf, refuseImmutable }: Immutability, remove: RemoveTag) {
  const removeUntil = (isOver: () => boolean, repositoryId: number, manifestId: number, move: Move) => {
    for (;;) {
      const names = rows.pointingAt(manifestId, TAGS_READ)
      for (const name of names) {
        if (isOver()) return true
        remove(repositoryId, name, move, true)
      }
      if (names.length < TAGS_READ) return false
    }
  }
  return {
    /**
     * Deletes some of the tags that point at the manifest. Returns whether there are more. If any of them is
     * immutable, throws DENIED (409) and deletes none.
     */
    removeSome(repositoryId: number, manifestId: number, move: Move): boolean {
      const isOver = partTime()
      const ruleOf = rulesOf(repositoryId)
      if (ruleOf !== undefined) {
        for (const name of rows.pointingAt(manifestId)) {
          const row = ruleOf(name) && rows.find(repositoryId, name, move.at)
          if (row) refuseImmutable(repositoryId, name, row)
        }
      }
      return removeUntil(isOver, repositoryId, manifestId, move)
    },

    /** Deletes more of the tags, even if the repository has become immutable since `removeSome`. */
    removeRest: (repositoryId: number, manifestId: number, move: Move): boolean =>
      removeUntil(partTime(), repositoryId, manifestId, move),

    /** Reports whether a tag points at the manifest. */
    isTagged: (manifestId: number): boolean => rows.pointingAt(manifestId, 1).length > 0,

    /** Removes a repository's expired tags, some at a time. */
    *expire(repositoryId: number, at: number): Parts<void> {
      let isOver = partTime()
      for (const expired of rows.expired(at)) {
        if (isOver()) {
          yield CONTENT_STALE
          isOver = partTime()
        }
        if (expired.repositoryId === repositoryId) rows.find(repositoryId, expired.name, at)
      }
    },
  }
}

function checkDigest(name: Tag, found: TagNow | undefined, expected: Condition): void {
  const digest = found && digestFromBytes(found.digest)
  if (holds(expected, digest)) return
  const state = digest === undefined ? 'does not exist' : `is at ${digest}`
  throw registryError('DENIED', `the tag "${name}" ${state}, which the request's condition excludes`, {
    status: 412,
    ...(digest === undefined ? {} : { headers: { etag: `"${digest}"` } }),
  })
}

/** Reports whether one expiry is before another; null is never. */
function isSooner(end: number | null, other: number | null): boolean {
  return end !== null && (other === null || end < other)
}

export type Immutability = ReturnType<typeof immutability>

/** The rules of immutable tags, which can be neither moved nor deleted. */
export function immutability(db: Db) {
  const settings = statement(db, { id: number }, ({ id }) =>
    db
      .select({ all: repository.immutableTags, patterns: repository.immutablePatterns })
      .from(repository)
      .where(eq(repository.id, id)),
  )
  /** The function returns the rule by which a tag is immutable, in words; undefined if it is not. */
  const rulesOf = (repositoryId: number): ((name: Tag) => string | undefined) | undefined => {
    const { all = false, patterns = [] } = settings.get({ id: repositoryId }) ?? {}
    if (all) return () => 'all tags of this repository are immutable'
    if (patterns.length === 0) return undefined
    const find = tagMatcher(patterns)
    return (name) => {
      const pattern = find(name)
      return pattern && `tags that match "${pattern}" are immutable in this repository`
    }
  }
  return {
    /** Returns the rules of a repository; undefined if none of its tags is immutable. */
    rulesOf,

    isImmutable: (repositoryId: number, name: Tag): boolean => rulesOf(repositoryId)?.(name) !== undefined,

    /** Throws DENIED (409) if the tag, which is at this digest, is immutable. */
    refuseImmutable(repositoryId: number, name: Tag, { digest }: { digest: Buffer }): void {
      const rule = rulesOf(repositoryId)?.(name)
      if (rule === undefined) return
      throw registryError(
        'DENIED',
        `${rule}, and "${name}" is at ${digestFromBytes(digest)}: use another tag, or first make the tag mutable ` +
          'with cay repo set',
        { status: 409 },
      )
    },
  }
}
