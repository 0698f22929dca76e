import { eq, type Placeholder, type SQL, sql } from 'drizzle-orm'
import { SYSTEM, type Write } from '../../../domain/access/caller.ts'
import type { EventType } from '../../../domain/events.ts'
import { digestFromBytes } from '../../../oci/digest.ts'
import type { RepositoryName, Tag } from '../../../oci/reference.ts'
import type { Db } from '../../database.ts'
import type { RecordEvent } from '../../events.ts'
import type { Reachability } from '../../garbage/reachability.ts'
import { deleteBy, selectBy, updateBy } from '../../rows.ts'
import { repository, tag } from '../../schema/schema.ts'
import { bytes, number, optional, statement, text } from '../../statement.ts'
import type { TagLines } from '../../time-machine/tag-lines.ts'
import { inTimeOrder, type TimePlace } from '../../time-machine/time-walk.ts'
import type { VersionOfCall } from '../../versions.ts'

/** How many expired tags are read at once. */
const EXPIRED_READ = 200

/** A move of a tag: who moved it, when, and by which act. */
export interface Move extends Write {
  act: EventType
  /** Why, if a policy decided it. */
  reason?: string | undefined
}

/** The state of a tag. */
export interface TagNow {
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

interface Parts {
  recordEvent: RecordEvent
  lines: TagLines
  reach: Reachability
  version: VersionOfCall
}

/**
 * Creates, moves and removes the rows of tags, each with an entry in the history. No other code writes them. An
 * expired tag is removed, with the time of its expiry, before anything else is done with it.
 */
export function tagRows(db: Db, { recordEvent, lines, reach, version }: Parts) {
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
