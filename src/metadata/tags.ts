import { and, asc, eq, gt, sql } from 'drizzle-orm'
import { type Digest, digestFromBytes, digestToBytes } from '../oci/digest.ts'
import { registryError } from '../oci/error.ts'
import type { RepositoryName, Tag } from '../oci/reference.ts'
import type { Caller } from './caller.ts'
import type { Db } from './database.ts'
import { eventWrites } from './events.ts'
import { reachability } from './reachability.ts'
import { repositoryReads } from './repositories.ts'
import { tag } from './schema.ts'

/** What a conditional push or delete expects of a tag (RFC 9110, 13.1): digests, or `*` for any. */
export interface Precondition {
  ifMatch?: string[]
  ifNoneMatch?: string[]
}

export type TagReads = ReturnType<typeof tagReads>

/** Reads of tags. */
export function tagReads(db: Db) {
  const page = db
    .select({ name: tag.name })
    .from(tag)
    .where(and(eq(tag.repositoryId, sql.placeholder('repositoryId')), gt(tag.name, sql.placeholder('last'))))
    .orderBy(asc(tag.name))
    .limit(sql.placeholder('limit'))
    .prepare()
  const { find } = repositoryReads(db)
  return {
    /** At most `limit` tags after `last`, in byte order; undefined when there is no such repository. */
    list(name: RepositoryName, last: string, limit: number): Tag[] | undefined {
      const repositoryId = find(name)
      if (repositoryId === undefined) return undefined
      return page.all({ repositoryId, last, limit }).map((row) => row.name as Tag)
    },
  }
}

interface Move {
  caller: Caller
  at: number
}

/** The moves of tags, each with its line in the history. */
export function tagMoves(db: Db) {
  const { moveTag } = eventWrites(db)
  const reach = reachability(db)
  const { current, put, remove, pointing } = tagStatements(db)
  return {
    /** Throws 412 when the tag is not what the caller expects. */
    check(repositoryId: number, name: Tag, precondition: Precondition | undefined): void {
      if (precondition === undefined) return
      const digest = current.get({ repositoryId, name })?.digest
      checkPrecondition(name, digest && digestFromBytes(digest), precondition)
    },

    /**
     * Points the tag at a manifest, which must not be marked as garbage any more; answers whether it pointed elsewhere
     * before.
     */
    move(repositoryId: number, name: Tag, manifestId: number, call: Move & { digest: Digest }): boolean {
      const digest = digestToBytes(call.digest)
      const before = current.get({ repositoryId, name })
      if (before?.manifestId === manifestId && before.digest.equals(digest)) return false
      put.run({ repositoryId, name, manifestId, digest, at: call.at })
      moveTag(repositoryId, name, digest, call.caller, call.at)
      if (before !== undefined && before.manifestId !== manifestId) reach.lost(before.manifestId, call.at)
      return before !== undefined
    },

    /** Deletes the tag; answers whether there was one. */
    remove(repositoryId: number, name: Tag, call: Move): boolean {
      const before = current.get({ repositoryId, name })
      if (before === undefined) return false
      remove.run({ repositoryId, name })
      moveTag(repositoryId, name, null, call.caller, call.at)
      reach.lost(before.manifestId, call.at)
      return true
    },

    /** Deletes every tag that points at the manifest. */
    removeAll(repositoryId: number, manifestId: number, call: Move): void {
      for (const row of pointing.all({ manifestId })) this.remove(repositoryId, row.name as Tag, call)
    },
  }
}

function tagStatements(db: Db) {
  const ofTag = and(
    eq(tag.repositoryId, sql.placeholder('repositoryId')),
    eq(tag.name, sql.placeholder('name')),
  )
  const current = db
    .select({ manifestId: tag.manifestId, digest: tag.digest })
    .from(tag)
    .where(ofTag)
    .prepare()
  const put = db
    .insert(tag)
    .values({
      repositoryId: sql.placeholder('repositoryId'),
      name: sql.placeholder('name'),
      manifestId: sql.placeholder('manifestId'),
      digest: sql.placeholder('digest'),
      updatedAt: sql.placeholder('at'),
    })
    .onConflictDoUpdate({
      target: [tag.repositoryId, tag.name],
      set: {
        manifestId: sql`excluded.manifest_id`,
        digest: sql`excluded.digest`,
        updatedAt: sql`excluded.updated_at`,
      },
    })
    .prepare()
  const remove = db.delete(tag).where(ofTag).prepare()
  const pointing = db
    .select({ name: tag.name })
    .from(tag)
    .where(eq(tag.manifestId, sql.placeholder('manifestId')))
    .prepare()
  return { current, put, remove, pointing }
}

function checkPrecondition(name: Tag, digest: Digest | undefined, expected: Precondition): void {
  const matches = (list: string[]) => digest !== undefined && (list.includes('*') || list.includes(digest))
  const failed =
    (expected.ifMatch !== undefined && !matches(expected.ifMatch)) ||
    (expected.ifNoneMatch !== undefined && matches(expected.ifNoneMatch))
  if (!failed) return
  const state = digest === undefined ? 'does not exist' : `is at ${digest}`
  throw registryError('DENIED', `the tag "${name}" ${state}, which the request's condition excludes`, {
    status: 412,
    ...(digest === undefined ? {} : { headers: { etag: `"${digest}"` } }),
  })
}
