import { and, eq, isNotNull, lte, sql } from 'drizzle-orm'
import { SYSTEM, type Write } from '../../domain/caller.ts'
import type { EventType } from '../../domain/events.ts'
import { digestFromBytes } from '../../oci/digest.ts'
import type { RepositoryName, Tag } from '../../oci/reference.ts'
import type { Db } from '../database.ts'
import { eventWrites } from '../events.ts'
import { reachability } from '../garbage/reachability.ts'
import { repository, tag } from '../schema.ts'
import { tagLines } from '../time-machine/history.ts'

/** A move of a tag: who, when, and by which act. */
export interface Move extends Write {
  act: EventType
}

/** A tag as it is. */
export interface TagNow {
  manifestId: number
  /** The digest that the manifest was pushed with under this tag. */
  digest: Buffer
  /** Milliseconds since 1970; null for never. */
  expiresAt: number | null
  /** When its upstream was last asked; null for one that was pushed. */
  checkedAt: number | null
}

/** Where a tag is pointed; without `checkedAt` it is pushed. */
export type TagTarget = Omit<TagNow, 'checkedAt'> & Partial<Pick<TagNow, 'checkedAt'>>

/**
 * The rows of tags, for the writer: the only place that makes, moves or removes one, each with its line in the
 * history. A tag whose end has come is removed, as of its end, before anything else is done with it.
 */
export function tagRows(db: Db) {
  const lines = tagLines(db)
  const reach = reachability(db)
  const statements = tagStatements(db)
  const { tell } = eventWrites(db)
  const repositoryName = db
    .select({ name: repository.name })
    .from(repository)
    .where(eq(repository.id, sql.placeholder('id')))
    .prepare()

  const remove = (repositoryId: number, name: Tag, row: TagNow, move: Move) => {
    statements.remove.run({ repositoryId, name })
    lines.add(repositoryId, name, { ...move, digest: null, previous: row.digest })
    reach.lost(row.manifestId, move.at)
  }
  const find = (repositoryId: number, name: Tag, at: number): TagNow | undefined => {
    const row = statements.find.get({ repositoryId, name })
    if (row === undefined || row.expiresAt === null || row.expiresAt > at) return row
    remove(repositoryId, name, row, { caller: SYSTEM, at: row.expiresAt, act: 'tag.expire' })
    const repository = repositoryName.get({ id: repositoryId })?.name as RepositoryName
    const digest = digestFromBytes(row.digest)
    tell({ type: 'tag.expire', repository, tag: name, digest }, SYSTEM, row.expiresAt)
    return undefined
  }

  return {
    /** A tag that is there at this time. */
    find,

    /** Makes the tag, or points it elsewhere; `before` is what it was. */
    put(repositoryId: number, name: Tag, row: TagTarget, before: TagNow | undefined, move: Move): void {
      statements.put.run({ checkedAt: null, ...row, repositoryId, name, at: move.at })
      lines.add(repositoryId, name, { ...move, digest: row.digest, previous: before?.digest ?? null })
      reach.reached(row.manifestId)
      if (before !== undefined && before.manifestId !== row.manifestId) reach.lost(before.manifestId, move.at)
    },

    /** Removes the tag, which is `row`. */
    remove,

    setEnd: (repositoryId: number, name: Tag, expiresAt: number | null) =>
      statements.setEnd.run({ repositoryId, name, expiresAt }),

    /** The tags that point at a manifest, also those whose end has come. */
    pointingAt: (manifestId: number): Tag[] =>
      statements.pointing.all({ manifestId }).map((row) => row.name as Tag),

    /** The tags of a repository whose end has come. */
    overIn: (repositoryId: number, at: number): Tag[] =>
      statements.overIn.all({ repositoryId, at }).map((row) => row.name as Tag),
  }
}

function tagStatements(db: Db) {
  const ofRepository = eq(tag.repositoryId, sql.placeholder('repositoryId'))
  const ofTag = and(ofRepository, eq(tag.name, sql.placeholder('name')))
  return {
    find: db
      .select({
        manifestId: tag.manifestId,
        digest: tag.digest,
        expiresAt: tag.expiresAt,
        checkedAt: tag.checkedAt,
      })
      .from(tag)
      .where(ofTag)
      .prepare(),
    put: db
      .insert(tag)
      .values({
        repositoryId: sql.placeholder('repositoryId'),
        name: sql.placeholder('name'),
        manifestId: sql.placeholder('manifestId'),
        digest: sql.placeholder('digest'),
        updatedAt: sql.placeholder('at'),
        expiresAt: sql.placeholder('expiresAt'),
        checkedAt: sql.placeholder('checkedAt'),
      })
      .onConflictDoUpdate({
        target: [tag.repositoryId, tag.name],
        set: {
          manifestId: sql`excluded.manifest_id`,
          digest: sql`excluded.digest`,
          updatedAt: sql`excluded.updated_at`,
          expiresAt: sql`excluded.expires_at`,
          checkedAt: sql`excluded.checked_at`,
        },
      })
      .prepare(),
    setEnd: db
      .update(tag)
      .set({ expiresAt: sql`${sql.placeholder('expiresAt')}` })
      .where(ofTag)
      .prepare(),
    remove: db.delete(tag).where(ofTag).prepare(),
    pointing: db
      .select({ name: tag.name })
      .from(tag)
      .where(eq(tag.manifestId, sql.placeholder('manifestId')))
      .prepare(),
    overIn: db
      .select({ name: tag.name })
      .from(tag)
      .where(and(ofRepository, isNotNull(tag.expiresAt), lte(tag.expiresAt, sql.placeholder('at'))))
      .prepare(),
  }
}
