import { eq, gte, isNull, or, type Placeholder, type SQL, sql } from 'drizzle-orm'
import type { Write } from '../../domain/access/caller.ts'
import type { GarbageWindow } from '../../domain/retention/garbage-window.ts'
import { type Digest, digestFromBytes, digestToBytes } from '../../oci/digest.ts'
import type { RepositoryName } from '../../oci/reference.ts'
import type { RepositoryRows } from '../content/repositories/repository-writes.ts'
import type { Db } from '../database.ts'
import type { RecordEvent } from '../events.ts'
import { manifest, repository } from '../schema/schema.ts'
import type { Stale } from '../stale.ts'
import { bytes, number, optional, statement, text } from '../statement.ts'
import { partTime, within } from '../writer/part-time.ts'
import type { ManifestPurge, PurgedManifest } from './manifest-purge.ts'

/** What is purged: in one repository or in all of them; there, everything or one manifest. */
export interface PurgeTarget {
  repository: RepositoryName | undefined
  digest: Digest | undefined
}

export interface PurgeCall extends PurgeTarget, Write {
  /** The clock for deletions, in milliseconds since 1970. */
  until: number
  garbageWindow: GarbageWindow
  /** The time of the last push. Content that loses its last reference here has been garbage since then. */
  pushedAt: number
  /** The maximum rows that are changed. */
  limit: number
}

export interface PurgeBatch {
  repositories: number
  manifests: number
  /** Tags that were left of interrupted deletions. */
  tags: number
  more: boolean
  stale: Stale | undefined
}

const target = { repository: optional(text), digest: optional(bytes) }

/** A condition on rows of `manifest`. */
const isIn = ({ repository, digest }: { repository: Placeholder; digest: Placeholder }): SQL => sql`
  (${repository} is null or manifest.repository_id =
    (select id from repository where name = ${repository} and deleted_at is null))
  and (${digest} is null or manifest.digest = ${digest}
    or manifest.id in (select manifest_id from manifest_digest where digest = ${digest}))`

const rowOf = (call: PurgeTarget) => ({
  repository: call.repository ?? null,
  digest: call.digest === undefined ? null : digestToBytes(call.digest),
})

/** The time as garbage that lets content be collected one grace period after the last push. */
const stampOf = ({ graceMs, windowMs }: GarbageWindow, pushedAt: number) => pushedAt + graceMs - windowMs

/** Writes that end the undo window early, each a bounded batch. */
export function purgeWrites(
  db: Db,
  {
    recordEvent,
    purge: { purge },
    setDeleted,
  }: { recordEvent: RecordEvent; purge: ManifestPurge } & Pick<RepositoryRows, 'setDeleted'>,
) {
  const { repositories, expire, manifests, postponeManifests, postponeBlobs } = purgeStatements(db)
  return {
    /**
     * Ends the undo window of deleted repositories, and of manifests that lost their last tag, which then stay for
     * one grace period after the last push.
     */
    expireWindows(call: PurgeCall): PurgeBatch {
      const { caller, at, limit, garbageWindow, pushedAt } = call
      const named = rowOf(call)
      const deleted =
        call.digest === undefined ? repositories.all({ repository: named.repository, from: 1, limit }) : []
      for (const { id, name } of deleted) {
        setDeleted(id, 0)
        recordEvent({ type: 'repository.purge', repository: name as RepositoryName }, caller, at)
      }
      const expired = expire.all({ ...named, stamp: stampOf(garbageWindow, pushedAt), limit }).length
      const more = deleted.length === limit || expired === limit
      const stale = expired > 0 ? 'content' : undefined
      return { repositories: deleted.length, manifests: expired, tags: 0, more, stale }
    },

    /** Removes manifests whose undo window has ended. Their blobs are unreferenced since the last push. */
    purgeManifests(call: PurgeCall): PurgeBatch {
      const { caller, at, until, garbageWindow, pushedAt, limit } = call
      const before = until - garbageWindow.windowMs
      const rows = manifests.all({ ...rowOf(call), before, limit }) as PurgedManifest[]
      const isOver = partTime()
      const purged = { manifests: 0, tags: 0 }
      const begun = within(
        rows,
        (row) => {
          const step = purge(row, { at, since: before, releasedAt: pushedAt, isOver })
          purged.tags += step.tags
          if (step.isUnfinished) return
          const digest = digestFromBytes(row.digest)
          recordEvent({ type: 'manifest.purge', repository: row.repository, digest }, caller, at)
          purged.manifests++
        },
        isOver,
      )
      const more = rows.length === limit || purged.manifests < rows.length
      return { repositories: 0, ...purged, more, stale: begun > 0 ? 'content' : undefined }
    },

    /** Corrects the marks that a purge dated by the last push, if there was a newer push meanwhile. */
    postponePurged({
      pushedAt,
      newerAt,
      garbageWindow,
      ...call
    }: Pick<PurgeCall, 'repository' | 'garbageWindow' | 'pushedAt'> & { newerAt: number }): { stale: Stale } {
      const name = { repository: call.repository ?? null }
      const stamp = stampOf(garbageWindow, pushedAt)
      postponeManifests.run({ ...name, stamp, newer: stampOf(garbageWindow, newerAt) })
      postponeBlobs.run({ ...name, stamp: pushedAt, newer: newerAt })
      return { stale: 'content' }
    },
  }
}

function purgeStatements(db: Db) {
  const isNamed = (name: Placeholder, id: SQL) =>
    sql`(${name} is null or ${id} in (select id from repository where name = ${name} and deleted_at is null))`
  const postponed = { repository: optional(text), stamp: number, newer: number }
  return {
    repositories: statement(
      db,
      { repository: optional(text), from: number, limit: number },
      ({ repository: name, from, limit }) =>
        db
          .select({ id: repository.id, name: repository.name })
          .from(repository)
          .where(
            sql`${gte(repository.deletedAt, from)} and (${name} is null or ${repository.name} = ${name})`,
          )
          .limit(limit),
    ),
    expire: statement(db, { ...target, stamp: number, limit: number }, ({ stamp, limit, ...named }) =>
      db
        .update(manifest)
        .set({ unreferencedAt: sql`${stamp}` })
        .where(
          sql`manifest.id in (select manifest.id from manifest
            where manifest.unreferenced_at > ${stamp} and manifest.deleted_at is null and ${isIn(named)}
            limit ${limit})`,
        )
        .returning({ id: manifest.id }),
    ),
    manifests: statement(db, { ...target, before: number, limit: number }, ({ before, limit, ...named }) =>
      db
        .select({
          id: manifest.id,
          repositoryId: manifest.repositoryId,
          repository: repository.name,
          digest: manifest.digest,
          size: manifest.size,
          deletedAt: manifest.deletedAt,
        })
        .from(manifest)
        .innerJoin(repository, eq(repository.id, manifest.repositoryId))
        .where(
          sql`${isNull(repository.deletedAt)} and ${or(
            sql`manifest.deleted_at > 0`,
            sql`manifest.unreferenced_at < ${before}`,
          )} and ${isIn(named)}`,
        )
        .limit(limit),
    ),
    postponeManifests: statement(db, postponed, ({ repository: name, stamp, newer }) =>
      db
        .update(manifest)
        .set({ unreferencedAt: sql`${newer}` })
        .where(sql`manifest.unreferenced_at = ${stamp} and ${isNamed(name, sql`manifest.repository_id`)}`),
    ),
    postponeBlobs: statement(
      db,
      postponed,
      ({ repository: name, stamp, newer }) =>
        sql`update repository_blob set unreferenced_at = ${newer}
          where unreferenced_at = ${stamp} and ${isNamed(name, sql`repository_id`)}`,
    ),
  }
}
