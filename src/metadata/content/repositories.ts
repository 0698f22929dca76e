import { and, asc, eq, gt, isNull, sql } from 'drizzle-orm'
import type { RepositorySet } from '../../domain/repository-set.ts'
import type { RepositoryName } from '../../oci/reference.ts'
import type { Db } from '../database.ts'
import { repository } from '../schema.ts'
import { isIn } from './repository-condition.ts'

export type RepositoryReads = ReturnType<typeof repositoryReads>

/** Reads of repositories. */
export function repositoryReads(db: Db) {
  const byName = db
    .select({ id: repository.id })
    .from(repository)
    .where(and(eq(repository.name, sql.placeholder('name')), isNull(repository.deletedAt)))
    .prepare()
  return {
    /** The id of a repository that exists. */
    find: (name: RepositoryName): number | undefined => byName.get({ name })?.id,

    /** At most `limit` names after `last`, in byte order. */
    list(pullable: RepositorySet, last: string, limit: number): RepositoryName[] {
      const rows = db
        .select({ name: repository.name })
        .from(repository)
        .where(and(gt(repository.name, last), isNull(repository.deletedAt), isIn(pullable)))
        .orderBy(asc(repository.name))
        .limit(limit)
        .all()
      return rows.map((row) => row.name as RepositoryName)
    },
  }
}

export type EnsureRepository = (name: RepositoryName, at: number) => number

/** The id of a repository; the first push to a name makes it. One that is deleted is not brought back by that. */
export function ensureRepository(db: Db): EnsureRepository {
  const { find } = repositoryReads(db)
  const insert = db
    .insert(repository)
    .values({ name: sql.placeholder('name'), createdAt: sql.placeholder('at') })
    .returning({ id: repository.id })
    .prepare()
  return (name, at) => find(name) ?? insert.get({ name, at }).id
}
