import { and, asc, eq, gt, isNull } from 'drizzle-orm'
import { LRUCache } from 'lru-cache'
import {
  type Retention,
  type RetentionClock,
  retentionOf,
  type Verdict,
} from '../../domain/retention/retention.ts'
import { compilePolicies, type RetentionPolicy } from '../../domain/retention/retention-policy.ts'
import { type Digest, digestFromBytes } from '../../oci/digest.ts'
import type { RepositoryName } from '../../oci/reference.ts'
import { turn } from '../../turn.ts'
import type { NamedRow } from '../content/repositories/repositories.ts'
import { immutability } from '../content/tags/immutability.ts'
import type { ReadTotal } from '../content/totals.ts'
import type { Db } from '../database.ts'
import { repository } from '../schema/schema.ts'
import { number, statement, text } from '../statement.ts'
import { policyReads } from './policies.ts'
import { type RetainedRow, retainedTags } from './retained-tags.ts'

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

/** Reads for retention: the policies, and what they would do. */
export function retentionReads(db: Db, total: ReadTotal) {
  const retained = retainedTags(db)
  const { rulesOf } = immutability(db)
  const counted = new LRUCache<string, Retention>({ max: COUNTED_MAX })
  const local = statement(db, { from: text, limit: number }, ({ from, limit }) =>
    db
      .select({ id: repository.id, name: repository.name })
      .from(repository)
      .where(and(gt(repository.name, from), isNull(repository.deletedAt), isNull(repository.upstream)))
      .orderBy(asc(repository.name))
      .limit(limit),
  )
  const byName = statement(db, { name: text }, ({ name }) =>
    db
      .select({ id: repository.id, name: repository.name })
      .from(repository)
      .where(and(eq(repository.name, name), isNull(repository.deletedAt), isNull(repository.upstream))),
  )
  const count = async ({ repository, policies, at }: RetentionTest): Promise<Retention> => {
    const key = JSON.stringify([repository.id, at, policies])
    const known = counted.get(key)
    if (known !== undefined) return known
    const own = compilePolicies(policies).filter(({ matches }) => matches(repository.name))
    const clock: RetentionClock = { at, pullsSince: total('pulls.since') }
    const retention = retentionOf(own, clock)
    for (const _ of retained.count(repository.id, retention, at)) await turn()
    counted.set(key, retention)
    return retention
  }
  return {
    policies: policyReads(db).list,

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
        return {
          ...row,
          digest: digestFromBytes(row.digest),
          verdict: retention.verdict({ ...row, isImmutable }),
        }
      })
    },
  }
}
