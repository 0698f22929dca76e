import { and, eq, isNull, ne, or, type Placeholder, type SQL, sql } from 'drizzle-orm'
import type { Db } from '../database/database.ts'
import type { VersionOfCall } from '../database/operation.ts'
import { manifest } from '../database/schema.ts'
import { bytes, number, statement } from '../database/statement.ts'

/**
 * A condition on rows of `manifest`: it is referenced by a tag, by an index in its repository that is not deleted, or
 * because its subject exists there.
 */
export const isReached: SQL = sql`(
  exists (select 1 from tag t where t.manifest_id = manifest.id)
  or exists (select 1 from manifest_reference r join manifest p on p.id = r.manifest_id
    where r.digest = manifest.digest and r.repository_id = manifest.repository_id
    and r.role = 'child' and p.deleted_at is null)
  or exists (select 1 from manifest_digest d join manifest_reference r
      on r.digest = d.digest and r.repository_id = d.repository_id
    join manifest p on p.id = r.manifest_id
    where d.manifest_id = manifest.id and r.role = 'child' and p.deleted_at is null)
  or (manifest.subject is not null and (
    exists (select 1 from manifest s
      where s.digest = manifest.subject and s.repository_id = manifest.repository_id and s.deleted_at is null)
    or exists (select 1 from manifest_digest d join manifest s on s.id = d.manifest_id
      where d.digest = manifest.subject and d.repository_id = manifest.repository_id and s.deleted_at is null))))`

/** Selects the ids of what a manifest can keep: the entries of an index, and its referrers, by any of its digests. */
const reachable = (id: Placeholder): SQL => sql`(
  select c.id from manifest_reference r join manifest c on c.digest = r.digest and c.repository_id = r.repository_id
    where r.manifest_id = ${id} and r.role = 'child'
  union all select d.manifest_id from manifest_reference r
    join manifest_digest d on d.repository_id = r.repository_id and d.digest = r.digest
    where r.manifest_id = ${id} and r.role = 'child'
  union all select f.id from manifest m join manifest f on f.repository_id = m.repository_id and f.subject = m.digest
    where m.id = ${id}
  union all select f.id from manifest_digest d
    join manifest f on f.repository_id = d.repository_id and f.subject = d.digest
    where d.manifest_id = ${id})`

export type Reachability = ReturnType<typeof reachability>

const isMarked = sql`(manifest.unreferenced_at is not null or manifest.untagged_at is not null)`

// Cached manifests are evicted, never collected.
const becomesGarbage = and(
  isNull(manifest.deletedAt),
  isNull(manifest.usedAt),
  sql`not ${isMarked}`,
  sql`not ${isReached}`,
)

const found = { id: number, version: number }
const left = { ...found, at: number }

/**
 * Records when each manifest became garbage, in the transaction of the change. A manifest that is not deleted has
 * neither `unreferencedAt` nor `untaggedAt` while something references it, and otherwise one of them. A deleted one
 * has neither.
 */
export function reachability(db: Db, version: VersionOfCall) {
  const unmark = (version: Placeholder, condition: SQL | undefined) =>
    db
      .update(manifest)
      .set({ unreferencedAt: null, untaggedAt: null, version: sql`${version}` })
      .where(condition)
  // A push has just written the row, which need not be written twice.
  const reached = statement(db, found, ({ id, version }) =>
    unmark(version, and(eq(manifest.id, id), or(isMarked, ne(manifest.version, version)))),
  )
  const appeared = statement(db, found, ({ id, version }) =>
    unmark(version, and(sql`manifest.id in ${reachable(id)}`, isMarked)),
  )
  const subjectCame = statement(
    db,
    { repositoryId: number, digest: bytes, version: number },
    ({ repositoryId, digest, version }) =>
      unmark(version, and(eq(manifest.repositoryId, repositoryId), eq(manifest.subject, digest), isMarked)),
  )
  const leave = (version: Placeholder, since: SQL) =>
    db.update(manifest).set({
      version: sql`${version}`,
      leftAt: since,
      unreferencedAt: sql`iif(${becomesGarbage}, max(${since}, manifest.pushed_at), manifest.unreferenced_at)`,
    })
  const lost = statement(db, left, ({ id, at, version }) =>
    leave(version, sql`${at}`).where(eq(manifest.id, id)),
  )
  const vanished = statement(db, left, ({ id, at, version }) =>
    leave(version, sql`max(${at}, coalesce(manifest.left_at, 0))`).where(
      sql`manifest.id in ${reachable(id)}`,
    ),
  )
  const untagged = statement(db, left, ({ id, at, version }) =>
    db
      .update(manifest)
      .set({ untaggedAt: sql`${at}`, version: sql`${version}` })
      .where(and(eq(manifest.id, id), becomesGarbage)),
  )
  return {
    /** A tag points at the manifest from now on. */
    reached: (manifestId: number) => reached.run({ id: manifestId, version: version() }),

    /**
     * A tag was removed from the manifest, or the manifest was restored: it is garbage since `at`, unless something
     * references it.
     */
    lost: (manifestId: number, at: number) => lost.run({ id: manifestId, at, version: version() }),

    /** The manifest was pushed by digest: it is untagged since `at`, unless something references it. */
    untagged: (manifestId: number, at: number) => untagged.run({ id: manifestId, at, version: version() }),

    /** A manifest with these digests, which lists nothing, was added: its referrers are referenced. */
    subjectCame: (repositoryId: number, digests: Buffer[]): void => {
      for (const digest of digests) subjectCame.run({ repositoryId, digest, version: version() })
    },

    /** The manifest was pushed or restored: what it lists, and its referrers, are referenced. */
    appeared: (manifestId: number) => appeared.run({ id: manifestId, version: version() }),

    /**
     * The manifest was deleted: what only it referenced is garbage since `at`, or since its own push or the loss of
     * another reference, if that is later.
     */
    vanished: (manifestId: number, at: number) => vanished.run({ id: manifestId, at, version: version() }),
  }
}
