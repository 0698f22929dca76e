import { LRUCache } from 'lru-cache'
import type { Metadata } from '../metadata/metadata.ts'
import { Rules } from './rules.ts'

/** Subjects whose grants are remembered, and grants of all of them together. */
const SUBJECTS_MAX = 10_000
const GRANTS_MAX = 200_000

/** The grants of each subject, read once and then changed with each grant that is given or taken back. */
export class GrantedRules {
  private readonly metadata: Metadata
  private readonly remembered = new LRUCache<string, Rules>({
    max: SUBJECTS_MAX,
    maxSize: GRANTS_MAX,
    // What has grown since is counted when it is read again.
    sizeCalculation: ({ size }) => Math.min(GRANTS_MAX, size + 1),
  })

  constructor(metadata: Metadata) {
    this.metadata = metadata
    metadata.onStale('grants', ({ subject, rule, removed }) => {
      const rules = this.remembered.peek(subject)
      if (rule !== undefined) rules?.put(rule)
      if (removed !== undefined) rules?.remove(removed)
    })
  }

  /** What is granted to a subject, as the database names it. */
  of(subject: string): Rules {
    const known = this.remembered.get(subject)
    if (known !== undefined) return known
    const rules = new Rules(this.metadata.grants.rulesOf(subject))
    this.remembered.set(subject, rules)
    return rules
  }
}
