import { and, asc, eq, gt, isNull } from 'drizzle-orm'
import type { RepositorySet } from '../../domain/repository-set.ts'
import type { RepositoryName } from '../../oci/reference.ts'
import type { Db } from '../database.ts'
import { repository } from '../schema.ts'
import { number, statement, text } from '../statement.ts'
import { isIn } from './repository-condition.ts'

export type RepositoryReads = ReturnType<typeof repositoryReads>

/** Reads of repositories. */
export function repositoryReads(db: Db) {
  const byName = statement(db, { name: text }, ({ name }) =>
    db
      .select({ id: repository.id })
      .from(repository)
      .where(and(eq(repository.name, name), isNull(repository.deletedAt))),
  )
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

/** The id of a repository; the first push to a name makes it. One that is deleted is not brought back by that. */
export type EnsureRepository = (name: RepositoryName, at: number) => number

export function ensureRepository(db: Db, { find }: Pick<RepositoryReads, 'find'>): EnsureRepository {
  const insert = statement(db, { name: text, createdAt: number }, (row) =>
    db.insert(repository).values(row).returning({ id: repository.id }),
  )
  return (name, at) => find(name) ?? insert.get({ name, createdAt: at }).id
}
