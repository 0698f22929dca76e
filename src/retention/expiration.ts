import { and, asc, eq, isNotNull, lte, sql } from 'drizzle-orm'
import type { Write } from '../access/access.ts'
import type { Db } from '../database/database.ts'
import { type Parts, partTime, type Stale } from '../database/operation.ts'
import { manifest, repository } from '../database/schema.ts'
import { number, statement, updateBy } from '../database/statement.ts'
import { digestFromBytes, type RepositoryName } from '../oci/reference.ts'
import type { Rows } from '../registry/store.ts'
import {
  type CompiledPolicy,
  compilePolicies,
  type RetentionPolicy,
  retentionOf,
  type Verdict,
} from './rules.ts'
import { type DueRows, isLocal, type RetainedRow, retainedTags, TAGS_READ } from './store.ts'

declare module '../database/metadata.ts' {
  interface Operations extends ReturnType<typeof retentionWrites> {}
}

/** How many manifests are read at once. */
const MANIFESTS_READ = 200

const DAY_MS = 86_400_000

export interface RetentionCall extends Write {
  policies: RetentionPolicy[]
  /** The time by which content may expire, in milliseconds since 1970. */
  until: number
}

/** What a call expired. */
export interface Expired {
  tags: number
  /** Manifests that never had a tag, which are garbage from now on. */
  manifests: number
  /** How many repositories were examined. */
  repositories: number
}

/** Expires tags, and manifests without one, as the policies say. */
export function retentionWrites(db: Db, rows: Rows, due: DueRows) {
  const byId = statement(db, { id: number }, ({ id }) =>
    db
      .select({ name: repository.name })
      .from(repository)
      .where(and(eq(repository.id, id), isLocal)),
  )
  const expireTags = tagExpiry(db, rows, (id) => byId.get({ id }) !== undefined)
  const expireUntagged = untaggedExpiry(db, rows)
  /** Expires what the policies do not keep. Returns when something else in the repository may expire. */
  function* expire(id: number, all: CompiledPolicy[], call: RetentionCall, part: Part) {
    const name = byId.get({ id })?.name as RepositoryName | undefined
    const policies = name === undefined ? [] : all.filter(({ matches }) => matches(name))
    // It is deleted or cached, or no policy governs it.
    if (name === undefined || policies.length === 0) return undefined
    const governed = { id, name, policies }
    return earlier(yield* expireTags(governed, call, part), yield* expireUntagged(governed, call, part))
  }
  return {
    /** Examines some of the repositories that are due. Returns whether there are more. */
    *retain(call: RetentionCall): Parts<Expired & { more: boolean; stale: Stale | undefined }> {
      const policies = compilePolicies(call.policies)
      const part = new Part()
      for (;;) {
        const id = due.next(call.until)
        if (id === undefined || (part.done.repositories > 0 && part.isOver()))
          return { ...part.done, more: id !== undefined, ...part.end() }
        due.set(id, yield* expire(id, policies, call, part))
        part.done.repositories++
      }
    },
  }
}

/** The time limit of a part, and its results. */
class Part {
  readonly done: Expired = { tags: 0, manifests: 0, repositories: 0 }
  private time = partTime()
  private hasChanged = false

  isOver(): boolean {
    return this.time()
  }

  changed(what: 'tags' | 'manifests'): void {
    this.done[what]++
    this.hasChanged ||= what === 'tags'
  }

  /** Returns what the part has made stale, and begins the next one. */
  end(): { stale: Stale | undefined } {
    const stale = this.hasChanged ? 'content' : undefined
    this.hasChanged = false
    this.time = partTime()
    return { stale }
  }
}

/** A repository with its policies. */
interface Governed {
  id: number
  name: RepositoryName
  policies: CompiledPolicy[]
}

/** Expires tags. Returns when the next one may expire. */
type Expiry = (governed: Governed, call: RetentionCall, part: Part) => Parts<number | undefined>

function tagExpiry(
  db: Db,
  { recordEvent, immutable, tags, total }: Rows,
  isHere: (repositoryId: number) => boolean,
): Expiry {
  const retained = retainedTags(db)
  const expire = ({ id, name }: Governed, row: RetainedRow, verdict: Verdict, { caller, ...call }: Write) => {
    // It may have been pushed since the call began.
    const at = Math.max(call.at, row.updatedAt)
    const found = tags.find(id, row.name, at)
    if (found === undefined) return
    const reason = `policy ${verdict.policy}: ${verdict.reason}`
    tags.remove(id, row.name, found, { caller, at, act: 'retention.expire', reason })
    const digest = digestFromBytes(row.digest)
    recordEvent({ type: 'retention.expire', repository: name, tag: row.name, digest }, caller, at)
  }
  return function* (governed, call, part) {
    const { id } = governed
    const clock = { at: call.until, pullsSince: total('pulls.since') }
    const retention = retentionOf(governed.policies, clock)
    for (const _ of retained.count(id, retention, call.at)) if (part.isOver()) yield part.end()
    let due: number | undefined
    for (let name = ''; isHere(id); ) {
      const rows = retained.after(id, name, call.at)
      const ruleOf = immutable.rulesOf(id)
      let done = 0
      for (const row of rows) {
        const verdict = retention.verdict({ ...row, isImmutable: ruleOf?.(row.name) !== undefined })
        if (verdict.expires) {
          expire(governed, row, verdict, call)
          part.changed('tags')
        }
        due = earlier(due, verdict.until)
        name = row.name
        done++
        if (part.isOver()) break
      }
      if (done === rows.length && done < TAGS_READ) break
      if (part.isOver()) yield part.end()
    }
    return due
  }
}

/** Marks manifests that never had a tag as garbage. Returns when the next one may become garbage. */
function untaggedExpiry(db: Db, { recordEvent, version }: Rows): Expiry {
  const { release, untagged, first } = untaggedStatements(db)
  return function* ({ id, name, policies }, { caller, at, until }, part) {
    const days = policies.map(({ policy }) => policy.untaggedDays ?? 0)
    const keptMs = Math.max(...days) * DAY_MS
    if (keptMs === 0) return undefined
    for (;;) {
      const rows = untagged.all({ repositoryId: id, before: until - keptMs, limit: MANIFESTS_READ })
      for (const row of rows) {
        release.run({ id: row.id, untaggedAt: null, unreferencedAt: at, version: version() })
        const digest = digestFromBytes(row.digest)
        recordEvent({ type: 'retention.expire', repository: name, digest }, caller, at)
        part.changed('manifests')
      }
      if (rows.length < MANIFESTS_READ) break
      yield part.end()
    }
    const next = first.get({ id })?.at
    return next == null ? undefined : next + keptMs
  }
}

function earlier(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined || b === undefined ? (a ?? b) : Math.min(a, b)
}

function untaggedStatements(db: Db) {
  return {
    /** Marks the manifest as one that has lost its last tag. */
    release: updateBy(db, manifest, ['untaggedAt', 'unreferencedAt', 'version'], 'id'),
    untagged: statement(
      db,
      { repositoryId: number, before: number, limit: number },
      ({ repositoryId, before, limit }) =>
        db
          .select({ id: manifest.id, digest: manifest.digest })
          .from(manifest)
          .where(
            and(
              eq(manifest.repositoryId, repositoryId),
              isNotNull(manifest.untaggedAt),
              lte(manifest.untaggedAt, before),
            ),
          )
          .orderBy(asc(manifest.untaggedAt))
          .limit(limit),
    ),
    first: statement(
      db,
      { id: number },
      ({ id }) => sql<{ at: number | null }>`select min(untagged_at) as at from manifest
        where repository_id = ${id} and untagged_at is not null`,
    ),
  }
}
