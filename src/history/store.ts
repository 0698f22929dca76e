import { and, desc, eq, getTableColumns, gte, lt, type Placeholder, type SQL, sql } from 'drizzle-orm'
import type { Write } from '../access/access.ts'
import type { Db } from '../database/database.ts'
import { CONTENT_STALE, type Parts, partTime } from '../database/operation.ts'
import type { EventType } from '../database/outbox.ts'
import {
  blob,
  manifest,
  manifestReference,
  repository,
  repositoryBlob,
  tagHistory,
} from '../database/schema.ts'
import { number, selectBy, statement, text, updateBy } from '../database/statement.ts'
import { registryError } from '../oci/error.ts'
import {
  type Digest,
  digestFromBytes,
  digestToBytes,
  type RepositoryName,
  type Tag,
} from '../oci/reference.ts'
import type { PastTag, RepositoryReads, Rows, TagWrite } from '../registry/store.ts'

declare module '../database/metadata.ts' {
  interface Reads {
    history: ReturnType<typeof historyReads>
  }
  interface Operations extends ReturnType<typeof restoreWrites> {}
}

/** Creates the writes that undo changes, each for one call of the writer. */
export function restoreWrites(db: Db, rows: Rows) {
  const revive = contentRestores(db, rows)
  return {
    ...manifestRestores(rows, revive),
    ...tagRestores(rows, revive),
    ...repositoryRestores(db, rows),
    ...rewinds(rows, revive),
  }
}

/** One move of a tag. `digest` is where it points from then on; undefined if it was deleted. */
export type HistoryLine = ReturnType<typeof toLine>

/** Reads of where tags pointed. */
export function historyReads(db: Db, { find }: Pick<RepositoryReads, 'find'>) {
  // Written as SQL, because Drizzle omits the names of tables in selected columns.
  const isPreviousHere = sql<number>`(
    exists (select 1 from manifest m where m.digest = tag_history.previous and m.repository_id = tag_history.repository_id)
    or exists (select 1 from manifest_digest d
      where d.digest = tag_history.previous and d.repository_id = tag_history.repository_id))`
  const kinds = { repositoryId: number, tag: text, at: number, before: number, limit: number }
  const page = (
    isOf: (wanted: Record<keyof typeof kinds, Placeholder>) => SQL | undefined,
    ...order: SQL[]
  ) =>
    statement(db, kinds, (wanted) =>
      db
        .select({ ...getTableColumns(tagHistory), isPreviousHere })
        .from(tagHistory)
        .where(and(eq(tagHistory.repositoryId, wanted.repositoryId), isOf(wanted)))
        .orderBy(...order)
        .limit(wanted.limit),
    )
  const newest = desc(tagHistory.id)
  const ofTag = page(({ tag, before }) => and(eq(tagHistory.name, tag), lt(tagHistory.id, before)), newest)
  const ofTime = page(({ at, before }) => and(eq(tagHistory.at, at), lt(tagHistory.id, before)), newest)
  const earlier = page(({ at }) => lt(tagHistory.at, at), desc(tagHistory.at), newest)
  const ofId = statement(db, { id: number }, ({ id }) =>
    db.select({ at: tagHistory.at }).from(tagHistory).where(eq(tagHistory.id, id)),
  )
  return {
    /**
     * Returns at most `limit` moves of a tag before the entry `before`, newest first; undefined without such a
     * repository.
     */
    ofTag(name: RepositoryName, tag: Tag, before: number, limit: number): HistoryLine[] | undefined {
      const repositoryId = find(name)
      if (repositoryId === undefined) return undefined
      return ofTag.all({ repositoryId, tag, at: 0, before, limit }).map(toLine)
    },

    /** Does the same for all tags of a repository. */
    ofRepository(name: RepositoryName, before: number, limit: number): HistoryLine[] | undefined {
      const repositoryId = find(name)
      if (repositoryId === undefined) return undefined
      const at = ofId.get({ id: before })?.at ?? Number.MAX_SAFE_INTEGER
      // In two steps, because the index cannot seek among entries of the same time, and a rewind creates many of
      // them.
      const lines = ofTime.all({ repositoryId, tag: '', at, before, limit })
      const rest = { repositoryId, tag: '', at, before, limit: limit - lines.length }
      return lines.concat(earlier.all(rest)).map(toLine)
    },
  }
}

function toLine(line: typeof tagHistory.$inferSelect & { isPreviousHere: number }) {
  const { repositoryId: _, previousExpiresAt: _expiry, name, digest, previous, ...row } = line
  return {
    ...row,
    tag: name as Tag,
    digest: digest === null ? undefined : digestFromBytes(digest),
    /** Where it pointed before. */
    previous: previous === null ? undefined : digestFromBytes(previous),
    act: row.act as EventType,
    /** Whether the manifest that it pointed at before still exists, deleted or not. */
    isPreviousHere: row.isPreviousHere === 1,
  }
}

type RestoreContent = ReturnType<typeof contentRestores>

/**
 * Returns a function that restores a manifest with its blobs, and with those of its children that were deleted. It
 * returns the id, and whether the manifest had been deleted; undefined if the manifest does not exist or was deleted
 * before the undo window.
 */
function contentRestores(db: Db, { findManifest: find, reach }: Rows) {
  const references = selectBy(db, manifestReference, 'manifestId', 'role')
  const show = updateBy(db, manifest, ['deletedAt'], 'id')
  const showLinks = statement(db, { id: number, repositoryId: number }, ({ id, repositoryId }) =>
    db
      .update(repositoryBlob)
      .set({ deletedAt: null, unreferencedAt: null })
      .where(
        sql`${repositoryBlob.repositoryId} = ${repositoryId} and ${repositoryBlob.blobId} in (
          select ${blob.id} from ${manifestReference} join ${blob} on ${blob.digest} = ${manifestReference.digest}
          where ${manifestReference.manifestId} = ${id})`,
      ),
  )
  return (repositoryId: number, digest: Buffer, { at, windowStart }: Restore) => {
    const root = find(repositoryId, digest)
    if (root === undefined || (root.deletedAt !== null && root.deletedAt < windowStart)) return undefined
    const waiting: Pick<typeof root, 'id' | 'deletedAt'>[] = [root]
    const shown: number[] = []
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
      if (next.deletedAt !== null) {
        show.run({ id: next.id, deletedAt: null })
        showLinks.run({ repositoryId, id: next.id })
        reach.appeared(next.id)
        shown.push(next.id)
      }
      for (const { digest } of references.all({ manifestId: next.id, role: 'child' })) {
        const child = find(repositoryId, digest)
        if (child && child.deletedAt !== null && child.deletedAt >= windowStart) waiting.push(child)
      }
    }
    for (const id of shown) reach.lost(id, at)
    return { id: root.id, wasHidden: root.deletedAt !== null }
  }
}

/** Writes that restore deleted manifests. */
function manifestRestores(
  { recordEvent, repositories, findManifest, moves, lines }: Rows,
  revive: RestoreContent,
) {
  return {
    /**
     * Restores a manifest with the tags that were deleted with it, unless they exist again. Returns these tags.
     * Changes nothing if the manifest exists. If the process ended between two parts, a rewind restores the other
     * tags. Throws NAME_UNKNOWN or MANIFEST_UNKNOWN.
     */
    *restoreManifest(call: Restore & { digest: Digest }): Parts<typeof CONTENT_STALE & { tags: Tag[] }> {
      const { caller, at, repository, digest } = call
      const repositoryId = repositories.find(repository)
      if (repositoryId === undefined) throw registryError('NAME_UNKNOWN')
      const row = findManifest(repositoryId, digestToBytes(digest))
      if (row === undefined)
        throw registryError(
          'MANIFEST_UNKNOWN',
          `${repository} has no manifest ${digest}, and none that can be restored`,
        )
      if (row.deletedAt === null) return { ...CONTENT_STALE, tags: [] }
      const { deletedAt } = row
      if (revive(repositoryId, digestToBytes(digest), call) === undefined)
        throw registryError('MANIFEST_UNKNOWN', `${digest} ${tooLongAgo(deletedAt, call)}`)
      recordEvent({ type: 'manifest.restore', repository, digest }, caller, at)
      const restored: Tag[] = []
      let isOver = partTime()
      for (const gone of lines.goneWith(repositoryId, deletedAt)) {
        if (isOver()) {
          yield CONTENT_STALE
          isOver = partTime()
        }
        const found = findManifest(repositoryId, gone.state.digest)
        const isOfThis = found?.id === row.id && found.deletedAt === null
        if (!isOfThis || moves.find(repositoryId, gone.name, at) !== undefined) continue
        const expiresAt = restoredEnd(gone.state, deletedAt, at)
        const target = { digest: digestFromBytes(gone.state.digest), expiresAt }
        moves.move(repositoryId, gone.name, row.id, { caller, at, ...target, act: 'manifest.restore' })
        restored.push(gone.name)
      }
      return { ...CONTENT_STALE, tags: restored }
    },
  }
}

/** What a tag is restored to: an earlier digest, or its target at a time, in milliseconds since 1970. */
export type TagState = { digest: Digest } | { at: number }

type TagRestore = TagWrite & Restore & { to: TagState }

/** Writes that restore tags. */
function tagRestores({ recordEvent, moves, lines, beginTagWrite }: Rows, revive: RestoreContent) {
  const wantedOf = (repositoryId: number, { to, ...call }: TagRestore): PastTag => {
    const current = moves.find(repositoryId, call.tag, call.at)
    if ('digest' in to) {
      const digest = digestToBytes(to.digest)
      if (current?.digest.equals(digest)) return current
      const last = lines.lastAt(repositoryId, call.tag, digest, call.windowStart)
      if (last) return { digest, expiresAt: restoredEnd(last.state, last.leftAt, call.at) }
      throw registryError(
        'MANIFEST_UNKNOWN',
        `the tag "${call.tag}" has not pointed at ${to.digest} within the undo window`,
      )
    }
    checkTime(to.at, call)
    const past = lines.stateAt(repositoryId, call.tag, to.at)
    if (past === undefined && current !== undefined) return current
    if (past) return { digest: past.digest, expiresAt: restoredEnd(past, to.at, call.at) }
    throw registryError('MANIFEST_UNKNOWN', `the tag "${call.tag}" did not exist at ${format(to.at)}`)
  }
  return {
    /**
     * Points a tag where it pointed before, and restores that manifest if it was deleted. Returns the digest. Throws
     * NAME_UNKNOWN, MANIFEST_UNKNOWN, DENIED, and REQUEST_INVALID for a time outside the undo window.
     */
    restoreTag(call: TagRestore) {
      const repositoryId = beginTagWrite(call)
      const { caller, at, repository, tag } = call
      const wanted = wantedOf(repositoryId, call)
      const digest = digestFromBytes(wanted.digest)
      const revived = revive(repositoryId, wanted.digest, call)
      if (revived === undefined)
        throw registryError('MANIFEST_UNKNOWN', `${digest} is no longer in ${repository}`)
      if (revived.wasHidden) recordEvent({ type: 'manifest.restore', repository, digest }, caller, at)
      const { expiresAt } = wanted
      moves.move(repositoryId, tag, revived.id, { caller, at, digest, expiresAt, act: 'tag.restore' })
      recordEvent({ type: 'tag.restore', repository, tag, digest }, caller, at)
      return { ...CONTENT_STALE, digest }
    },
  }
}

/** What a rewind did with the tags that had moved. */
export interface Rewound {
  /** Tags that were moved back. */
  restored: number
  /** Tags that did not exist at that time and were removed. */
  removed: number
  /** Tags that stay, because their manifest has been collected. */
  lost: number
}

/** Rewinds a whole repository, some tags at a time. */
function rewinds({ recordEvent, repositories, moves, lines }: Rows, revive: RestoreContent) {
  const takeBack = (
    repositoryId: number,
    name: Tag,
    state: PastTag | null,
    call: Restore & { to: number },
  ): keyof Rewound | undefined => {
    const { caller, at } = call
    const move = { caller, at, act: 'repository.rewind' } as const
    if (state === null) return moves.remove(repositoryId, name, move) ? 'removed' : undefined
    const expiresAt = restoredEnd(state, call.to, at)
    const current = moves.find(repositoryId, name, at)
    if (current?.digest.equals(state.digest) && current.expiresAt === expiresAt) return undefined
    const revived = revive(repositoryId, state.digest, call)
    if (revived === undefined) return 'lost'
    moves.move(repositoryId, name, revived.id, { ...move, digest: digestFromBytes(state.digest), expiresAt })
    return 'restored'
  }
  return {
    /**
     * Points every tag of a repository where it pointed at a time, and restores the manifests. Only tags that have
     * moved since are changed. Another rewind undoes it. If it is interrupted, repeating the call completes it.
     * Throws NAME_UNKNOWN, DENIED (409) if tags are immutable, and REQUEST_INVALID for a time outside the undo
     * window.
     */
    *rewindRepository(call: Restore & { to: number }): Parts<typeof CONTENT_STALE & Rewound> {
      const { repository, caller, at, to } = call
      const repositoryId = repositories.find(repository)
      if (repositoryId === undefined) throw registryError('NAME_UNKNOWN')
      checkTime(to, call)
      yield* moves.expire(repositoryId, at)
      const done = { restored: 0, removed: 0, lost: 0 }
      // An immutable tag fails the rewind, so with immutable tags everything is done in one part.
      let isOver = partTime()
      // Removals come first, so that no part exceeds a quota that the whole does not.
      for (const isRemoval of [true, false]) {
        for (const { name, state } of lines.movedSince(repositoryId, to, at)) {
          if (isOver() && !moves.hasImmutable(repositoryId)) {
            yield CONTENT_STALE
            isOver = partTime()
          }
          if ((state === null) !== isRemoval) continue
          const outcome = takeBack(repositoryId, name, state, call)
          if (outcome !== undefined) done[outcome]++
        }
      }
      recordEvent({ type: 'repository.rewind', repository }, caller, at)
      return { ...CONTENT_STALE, ...done }
    },
  }
}

/** Writes that restore deleted repositories. */
function repositoryRestores(db: Db, { recordEvent, repositories }: Rows) {
  const deleted = (name: Placeholder, condition: SQL) =>
    db
      .select({ id: repository.id, deletedAt: sql<number>`${repository.deletedAt}` })
      .from(repository)
      .where(and(eq(repository.name, name), condition))
      .orderBy(desc(repository.deletedAt), desc(repository.id))
      .limit(1)
  const lastDeleted = statement(db, { name: text, windowStart: number }, ({ name, windowStart }) =>
    deleted(name, gte(repository.deletedAt, windowStart)),
  )
  const deletedThen = statement(db, { name: text, deletedAt: number }, ({ name, deletedAt }) =>
    deleted(name, eq(repository.deletedAt, deletedAt)),
  )
  return {
    /**
     * Restores the repository that was deleted at a time, or the one that was deleted last. Throws NAME_UNKNOWN, and
     * CONFLICT when a repository of that name exists.
     */
    restoreRepository(call: Restore & { deletedAt?: number | undefined }): { id: number } {
      const { repository, caller, at, deletedAt } = call
      if (repositories.find(repository) !== undefined) {
        const what = `a repository ${repository} exists: delete it first, then restore this one`
        throw registryError('CONFLICT', what)
      }
      const row =
        deletedAt === undefined
          ? lastDeleted.get({ name: repository, windowStart: call.windowStart })
          : deletedThen.get({ name: repository, deletedAt })
      if (row === undefined) {
        const since = `since ${format(call.windowStart)}, the earliest time to restore from`
        const when = deletedAt === undefined ? since : `at ${format(deletedAt)}`
        throw registryError('NAME_UNKNOWN', `no repository ${repository} was deleted ${when}`)
      }
      if (row.deletedAt < call.windowStart)
        throw registryError('NAME_UNKNOWN', `${repository} ${tooLongAgo(row.deletedAt, call)}`)
      repositories.setDeleted(row.id, null)
      recordEvent({ type: 'repository.restore', repository }, caller, at)
      return { id: row.id }
    },
  }
}

/** A restore or a rewind, within the undo window. */
export interface Restore extends Write {
  repository: RepositoryName
  /** The start of the undo window, in milliseconds since 1970. Content deleted before it may be collected already. */
  windowStart: number
}

/** Throws REQUEST_INVALID for a time outside the undo window. */
function checkTime(time: number, { at, windowStart }: Restore): void {
  if (time > at) throw registryError('REQUEST_INVALID', `${format(time)} is in the future`)
  if (time >= windowStart) return
  throw registryError(
    'REQUEST_INVALID',
    `${format(time)} is too long ago: the earliest time is ${format(windowStart)}`,
  )
}

/** Says in an error that content was deleted before the undo window. */
function tooLongAgo(deletedAt: number, { windowStart }: Restore): string {
  return `was deleted at ${format(deletedAt)}; only what was deleted since ${format(windowStart)} can be restored`
}

function format(time: number): string {
  return new Date(time).toISOString()
}

/**
 * Returns when a restored tag expires. An expiry in the future stays. Otherwise the tag gets the time that it had
 * left when it last existed, or no expiry if it had expired by itself.
 *
 * @param then when the tag last existed
 */
function restoredEnd({ expiresAt }: PastTag, then: number, now: number): number | null {
  if (expiresAt === null || expiresAt > now) return expiresAt
  return expiresAt > then ? now + expiresAt - then : null
}
