import { and, asc, eq, gt, isNull, sql } from 'drizzle-orm'
import { LRUCache } from 'lru-cache'
import type { Write } from '../access/access.ts'
import type { RecordAct } from '../accounts/store.ts'
import type { Db } from '../database/database.ts'
import {
  checkVersion,
  type Parts,
  partTime,
  type ReadTotal,
  type VersionOfCall,
} from '../database/operation.ts'
import type { EventType } from '../database/outbox.ts'
import { event, manifest, repository, retentionDue, retentionPolicy, tag } from '../database/schema.ts'
import { deleteBy, number, pageBy, putInto, selectBy, statement, text } from '../database/statement.ts'
import { registryError } from '../oci/error.ts'
import { type Digest, digestFromBytes, type RepositoryName, type Tag } from '../oci/reference.ts'
import { immutability, isTagAt, type NamedRow, type Rows } from '../registry/store.ts'
import { turn } from '../runtime/clock.ts'
import {
  compilePolicies,
  type RetainedTag,
  type Retention,
  type RetentionPolicy,
  retentionOf,
  type Verdict,
} from './rules.ts'

declare module '../database/metadata.ts' {
  interface Reads {
    retention: ReturnType<typeof retentionReads>
  }
  interface Operations extends ReturnType<typeof policyWrites>, ReturnType<typeof planWrites> {}
}

/** How many repositories have their counts cached for the next page of the same test. */
const COUNTED_MAX = 4

export interface RetentionTest {
  repository: NamedRow
  /** All policies of the server. */
  policies: RetentionPolicy[]
  /** Milliseconds since 1970. */
  at: number
  /** The last tag that was decided on; empty for none. */
  after: string
}

/** A tag, and whether it would expire. */
export interface TestedTag extends Omit<RetainedRow, 'digest'> {
  digest: Digest
  verdict: Verdict
}

/** Neither deleted nor cached. */
export const isLocal = and(isNull(repository.deletedAt), isNull(repository.upstream))

/** Reads for retention: the policies, and what they would do. */
export function retentionReads(db: Db, total: ReadTotal) {
  const retained = retainedTags(db)
  const { rulesOf } = immutability(db)
  const policies = pageBy(db, retentionPolicy, ['name', 'asc'])
  const counted = new LRUCache<string, Retention>({ max: COUNTED_MAX })
  const local = statement(db, { from: text, limit: number }, ({ from, limit }) =>
    db
      .select({ id: repository.id, name: repository.name })
      .from(repository)
      .where(and(gt(repository.name, from), isLocal))
      .orderBy(asc(repository.name))
      .limit(limit),
  )
  const byName = statement(db, { name: text }, ({ name }) =>
    db
      .select({ id: repository.id, name: repository.name })
      .from(repository)
      .where(and(eq(repository.name, name), isLocal)),
  )
  const count = async ({ repository, policies, at }: RetentionTest): Promise<Retention> => {
    const key = JSON.stringify([repository.id, at, policies])
    const known = counted.get(key)
    if (known !== undefined) return known
    const own = compilePolicies(policies).filter(({ matches }) => matches(repository.name))
    const retention = retentionOf(own, { at, pullsSince: total('pulls.since') })
    for (const _ of retained.count(repository.id, retention, at)) await turn()
    counted.set(key, retention)
    return retention
  }
  return {
    /** The policies that were set with the API. */
    policies: () => policies.all({ last: '', limit: POLICIES_MAX }),

    /** Lists at most `limit` repositories after a name that are not cached. */
    local: (after: string, limit: number): NamedRow[] => local.all({ from: after, limit }) as NamedRow[],

    findLocal: (name: RepositoryName): NamedRow | undefined => byName.get({ name }) as NamedRow | undefined,

    /** Decides on some tags of a repository, in byte order. Returns none at the end. */
    async test(test: RetentionTest): Promise<TestedTag[]> {
      const { repository, at, after } = test
      const retention = await count(test)
      const ruleOf = rulesOf(repository.id)
      return retained.after(repository.id, after, at).map((row) => {
        const isImmutable = ruleOf?.(row.name) !== undefined
        const verdict = retention.verdict({ ...row, isImmutable })
        return { ...row, digest: digestFromBytes(row.digest), verdict }
      })
    },
  }
}

/** Policies of one data folder that were set with the API. */
const POLICIES_MAX = 100

interface PolicyWrite extends Write {
  name: string
}

/** Changes of retention policies, each for one call of the writer. They throw PRECONDITION_FAILED. */
export function policyWrites(
  db: Db,
  { recordAct, version }: { recordAct: RecordAct; version: VersionOfCall },
) {
  const rows = selectBy(db, retentionPolicy, 'name')
  const all = pageBy(db, retentionPolicy, ['name', 'asc'])
  const put = putInto(db, retentionPolicy)
  const remove = deleteBy(db, retentionPolicy, 'name')
  const find = ({ name, condition }: PolicyWrite) => {
    const row = rows.get({ name })
    checkVersion(`retention policy ${name}`, row?.version, condition)
    return row
  }
  const refuseTooMany = () => {
    if (all.all({ last: '', limit: POLICIES_MAX }).length < POLICIES_MAX) return
    throw registryError('CONFLICT', `there are ${POLICIES_MAX} retention policies: remove some`)
  }
  return {
    /** Adds or replaces a policy. Returns whether it is new. `settings` is a JSON object. */
    putPolicy(call: PolicyWrite & { settings: string }): boolean {
      const { caller, at, name, settings } = call
      const row = find(call)
      if (row === undefined) refuseTooMany()
      put.run({ name, settings, createdAt: row?.createdAt ?? at, changedAt: at, version: version() })
      const action = row === undefined ? 'retention.create' : 'retention.change'
      recordAct({ action, target: name, detail: { settings } }, caller, at)
      return row === undefined
    },

    /** Throws NOT_FOUND. */
    removePolicy(call: PolicyWrite): void {
      const { caller, at, name } = call
      if (find(call) === undefined) throw registryError('NOT_FOUND', `there is no retention policy ${name}`)
      remove.run({ name })
      recordAct({ action: 'retention.delete', target: name }, caller, at)
    },
  }
}

/** How many tags are read at once, which takes about a millisecond. */
export const TAGS_READ = 200

/** What retention needs of a tag. */
export interface RetainedRow extends Omit<RetainedTag, 'isImmutable'> {
  name: Tag
  /** The stored form. A run needs the digests only of tags that expire. */
  digest: Buffer
}

/** Reads the tags of a repository for retention. */
export function retainedTags(db: Db) {
  const page = statement(
    db,
    { repositoryId: number, after: text, now: number, limit: number },
    ({ repositoryId, after, now, limit }) =>
      db
        .select({
          name: tag.name,
          digest: tag.digest,
          updatedAt: tag.updatedAt,
          lastPulledAt: tag.lastPulledAt,
          // Pushing the manifest that the tag already points at does not move the tag.
          pushedAt: sql<number>`max(tag.updated_at, manifest.pushed_at)`,
        })
        .from(tag)
        .innerJoin(manifest, eq(manifest.id, tag.manifestId))
        .where(and(eq(tag.repositoryId, repositoryId), gt(tag.name, after), isTagAt(sql`${now}`)))
        .orderBy(asc(tag.name))
        .limit(limit),
  )
  const after = (repositoryId: number, name: string, now: number): RetainedRow[] =>
    page.all({ repositoryId, after: name, now, limit: TAGS_READ }) as RetainedRow[]
  return {
    /** Returns tags in byte order; fewer than TAGS_READ at the end. */
    after,

    /** Counts the tags of a repository; other work can be done at each `yield`. */
    *count(repositoryId: number, retention: Retention, now: number): Generator<void> {
      if (!retention.needsCount) return
      let name = ''
      for (;;) {
        const rows = after(repositoryId, name, now)
        for (const row of rows) retention.count({ ...row, isImmutable: false })
        if (rows.length < TAGS_READ) return
        name = rows.at(-1)?.name ?? name
        yield
      }
    },
  }
}

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
export function planWrites(db: Db, { repositories, total: read, setTotal }: Rows, due: DueRows) {
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
        const id = isGoverned(name) ? repositories.find(name) : undefined
        if (id !== undefined) due.set(id, 0)
      }
      const last = rows.at(-1)
      if (last !== undefined) setTotal('retention.event', last.id)
      if (rows.length < ROWS_READ) return
      if (isOver()) {
        yield NOTHING_STALE
        isOver = partTime()
      }
    }
  }
  return {
    /**
     * Marks the repositories that have changed since the last plan, or all of them if the policies have.
     * `fingerprint` is that of the policies; 0 without any.
     */
    *planRetention(plan: { policies: RetentionPolicy[]; fingerprint: number }): Parts<void> {
      const { policies, fingerprint } = plan
      const isSame = fingerprint === read('retention.policies')
      if (isSame && fingerprint === 0) return
      const compiled = compilePolicies(policies)
      const isGoverned = (name: RepositoryName) => compiled.some(({ matches }) => matches(name))
      const { oldest, newest } = ends.get({}) ?? {}
      if (isSame && (oldest ?? 0) <= read('retention.event') + 1) return yield* planChanged(isGoverned)
      yield* planAll(isGoverned)
      setTotal('retention.event', newest ?? 0)
      setTotal('retention.policies', fingerprint)
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
      .where(and(gt(repository.id, after), isLocal))
      .orderBy(asc(repository.id))
      .limit(limit),
  )
  return { ends, changes, local }
}
