import { LRUCache } from 'lru-cache'
import type { Metadata } from '../metadata/metadata.ts'
import { Rules } from './rules.ts'

/** A subject with more grants than this is loaded at startup and kept, because loading it would delay a request. */
const GRANTS_READ_MAX = 200

/** How many other subjects have their grants cached. */
const SUBJECTS_MAX = 10_000

/** The grants of each subject. They are loaded once and updated with each change of a grant. */
export class GrantedRules {
  private readonly metadata: Metadata
  private readonly large: Map<string, Rules>
  private readonly others = new LRUCache<string, Rules>({ max: SUBJECTS_MAX })

  constructor(metadata: Metadata) {
    this.metadata = metadata
    const subjects = metadata.grants.subjectsWithMore(GRANTS_READ_MAX)
    this.large = new Map(subjects.map((subject) => [subject, this.read(subject)]))
    metadata.onStale('grants', ({ subject, rule, removed }) => {
      // Load it now, while it has few grants, so that a growing subject never has to be loaded by a request.
      const rules = this.of(subject)
      if (rule !== undefined) rules.put(rule)
      if (removed !== undefined) rules.remove(removed)
      if (rules.size > GRANTS_READ_MAX) this.large.set(subject, rules)
    })
  }

  /** Returns the grants of a subject, which is named as in the database. */
  of(subject: string): Rules {
    const known = this.large.get(subject) ?? this.others.get(subject)
    if (known !== undefined) return known
    const rules = this.read(subject)
    this.others.set(subject, rules)
    return rules
  }

  /** Drops the cached grants of the subjects that can be loaded again quickly. */
  releaseMemory(): void {
    this.others.clear()
  }

  private read(subject: string): Rules {
    return new Rules(this.metadata.grants.rulesOf(subject))
  }
}
