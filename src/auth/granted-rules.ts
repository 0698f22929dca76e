import { LRUCache } from 'lru-cache'
import type { Metadata } from '../metadata/metadata.ts'
import { Rules } from './rules.ts'

/** A subject that has more grants than this is read at the start and kept: to read it takes too long for a request. */
const GRANTS_READ_MAX = 200

/** Other subjects whose grants are remembered. */
const SUBJECTS_MAX = 10_000

/** The grants of each subject, read once and then changed with each grant that is given or taken back. */
export class GrantedRules {
  private readonly metadata: Metadata
  private readonly large: Map<string, Rules>
  private readonly others = new LRUCache<string, Rules>({ max: SUBJECTS_MAX })

  constructor(metadata: Metadata) {
    this.metadata = metadata
    const subjects = metadata.grants.subjectsWithMore(GRANTS_READ_MAX)
    this.large = new Map(subjects.map((subject) => [subject, this.read(subject)]))
    metadata.onStale('grants', ({ subject, rule, removed }) => {
      // Read now, while it has few: a subject that grows is never read by a request.
      const rules = this.of(subject)
      if (rule !== undefined) rules.put(rule)
      if (removed !== undefined) rules.remove(removed)
      if (rules.size > GRANTS_READ_MAX) this.large.set(subject, rules)
    })
  }

  /** What is granted to a subject, as the database names it. */
  of(subject: string): Rules {
    const known = this.large.get(subject) ?? this.others.get(subject)
    if (known !== undefined) return known
    const rules = this.read(subject)
    this.others.set(subject, rules)
    return rules
  }

  private read(subject: string): Rules {
    return new Rules(this.metadata.grants.rulesOf(subject))
  }
}
