import { and, asc, gt, isNull, sql } from 'drizzle-orm'
import type { EventType } from '../../domain/events.ts'
import { compilePolicies, type RetentionPolicy } from '../../domain/retention/retention-policy.ts'
import type { RepositoryName } from '../../oci/reference.ts'
import type { RepositoryReads } from '../content/repositories/repositories.ts'
import type { ReadTotal, WriteTotal } from '../content/totals.ts'
import type { Db } from '../database.ts'
import { deleteBy, putInto } from '../rows.ts'
import { retentionDue } from '../schema/retention-schema.ts'
import { event, repository } from '../schema/schema.ts'
import type { Parts } from '../stale.ts'
import { number, statement } from '../statement.ts'
import { partTime } from '../writer/part-time.ts'

/** How many rows are read at once. */
const ROWS_READ = 500

/** The events after which something in the repository may expire. Deletions make nothing else expire. */
const LETS_EXPIRE: ReadonlySet<EventType> = new Set<EventType>([
  'manifest.push',
  'manifest.restore',
  'repository.change',
  'repository.restore',
  'repository.rewind',
  'tag.put',
  'tag.restore',
])

/** Whether only these have changed. */
const NOTHING_STALE = { stale: undefined } as const

interface PlanParts {
  find: RepositoryReads['find']
  due: DueRows
  total: ReadTotal
  write: WriteTotal
}

export interface RetentionPlan {
  policies: RetentionPolicy[]
  /** A fingerprint of the policies; 0 without any. */
  fingerprint: number
}

export type DueRows = ReturnType<typeof dueRows>

/** Sets and finds when something in a repository may expire. */
export function dueRows(db: Db) {
  const put = putInto(db, retentionDue)
  const remove = deleteBy(db, retentionDue, 'repositoryId')
  const next = statement(
    db,
    { until: number },
    ({ until }) => sql<{ id: number }>`select repository_id as id from retention_due
      where due_at <= ${until} order by due_at limit 1`,
  )
  return {
    /** Sets when something may expire, in milliseconds since 1970; undefined if nothing can until a change. */
    set(repositoryId: number, dueAt: number | undefined): void {
      if (dueAt === undefined) remove.run({ repositoryId })
      else put.run({ repositoryId, dueAt })
    },
    /** Returns the id of a repository in which something may have expired. */
    next: (until: number): number | undefined => next.get({ until })?.id,
  }
}

/**
 * Plans which repositories retention must examine. The outbox lists the changed ones, so planning costs pushes
 * nothing.
 */
export function planWrites(db: Db, { find, due, total: read, write }: PlanParts) {
  const { ends, changes, local } = planStatements(db)
  /** Marks every repository. If the process ends before the last part, the next plan starts over. */
  function* planAll(isGoverned: (name: RepositoryName) => boolean): Parts<void> {
    for (let after = 0, isOver = partTime(); ; ) {
      const rows = local.all({ after, limit: ROWS_READ })
      for (const { id, name } of rows) due.set(id, isGoverned(name as RepositoryName) ? 0 : undefined)
      if (rows.length < ROWS_READ) return
      after = rows.at(-1)?.id ?? after
      if (isOver()) {
        yield NOTHING_STALE
        isOver = partTime()
      }
    }
  }
  function* planChanged(isGoverned: (name: RepositoryName) => boolean): Parts<void> {
    for (let isOver = partTime(); ; ) {
      const rows = changes.all({ after: read('retention.event'), limit: ROWS_READ })
      const changed = rows.filter(({ type }) => LETS_EXPIRE.has(type as EventType))
      for (const name of new Set(changed.map((row) => row.repository as RepositoryName))) {
        const id = isGoverned(name) ? find(name) : undefined
        if (id !== undefined) due.set(id, 0)
      }
      const last = rows.at(-1)
      if (last !== undefined) write('retention.event', last.id)
      if (rows.length < ROWS_READ) return
      if (isOver()) {
        yield NOTHING_STALE
        isOver = partTime()
      }
    }
  }
  return {
    /** Marks the repositories that have changed since the last plan, or all of them if the policies have. */
    *planRetention({ policies, fingerprint }: RetentionPlan): Parts<void> {
      const isSame = fingerprint === read('retention.policies')
      if (isSame && fingerprint === 0) return
      const compiled = compilePolicies(policies)
      const isGoverned = (name: RepositoryName) => compiled.some(({ matches }) => matches(name))
      const { oldest, newest } = ends.get({}) ?? {}
      if (isSame && (oldest ?? 0) <= read('retention.event') + 1) return yield* planChanged(isGoverned)
      yield* planAll(isGoverned)
      write('retention.event', newest ?? 0)
      write('retention.policies', fingerprint)
    },
  }
}

function planStatements(db: Db) {
  const ends = statement(
    db,
    {},
    () => sql<{ oldest: number | null; newest: number | null }>`
      select (select min(id) from event) as oldest, (select max(id) from event) as newest`,
  )
  const changes = statement(db, { after: number, limit: number }, ({ after, limit }) =>
    db
      .select({ id: event.id, type: event.type, repository: event.repository })
      .from(event)
      .where(gt(event.id, after))
      .orderBy(asc(event.id))
      .limit(limit),
  )
  const local = statement(db, { after: number, limit: number }, ({ after, limit }) =>
    db
      .select({ id: repository.id, name: repository.name })
      .from(repository)
      .where(and(gt(repository.id, after), isNull(repository.deletedAt), isNull(repository.upstream)))
      .orderBy(asc(repository.id))
      .limit(limit),
  )
  return { ends, changes, local }
}
