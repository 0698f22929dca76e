import { isCompanionTag } from '../../src/oci/reference.ts'
import { DAY } from './collected-registry.ts'

export const REPOSITORIES = ['ci/app', 'prod']

export interface Policy {
  repositories: string[]
  tags: string[]
  newest?: number
  order: 'pushed' | 'version'
  pushedDays?: number
  pulledDays?: number
  keep: string[]
  includeImmutable: boolean
}

export interface Tagged {
  digest: string
  updatedAt: number
  pulledAt: number
}

/** The plain model: tags by repository, when each image was pushed, and the policies. */
export class RetentionModel {
  readonly tags = new Map(REPOSITORIES.map((name) => [name, new Map<string, Tagged>()]))
  readonly gone = new Map(REPOSITORIES.map((name) => [name, new Map<string, string>()]))
  readonly pushedAt = new Map<string, number>()
  readonly policies = new Map<string, Policy>()
  readonly immutable = new Set<string>()

  of(repository: string): Map<string, Tagged> {
    return this.tags.get(repository) as Map<string, Tagged>
  }

  put(repository: string, tag: string, digest: string, at: number): void {
    const { digest: before, pulledAt = 0, updatedAt } = this.of(repository).get(tag) ?? {}
    const isSame = before === digest && updatedAt !== undefined
    this.of(repository).set(tag, { digest, pulledAt, updatedAt: isSame ? updatedAt : at })
    this.goneFrom(repository).delete(tag)
  }

  /** A pull by digest counts for each tag at it. */
  pull(repository: string, tag: string, isByDigest: boolean, at: number): void {
    const digest = this.of(repository).get(tag)?.digest
    for (const [name, tagged] of this.of(repository)) {
      if (name === tag || (isByDigest && tagged.digest === digest)) tagged.pulledAt = at
    }
  }

  /** Tags that were removed, with what they pointed at. */
  goneFrom(repository: string): Map<string, string> {
    return this.gone.get(repository) as Map<string, string>
  }

  remove(repository: string, tag: string): void {
    const digest = this.of(repository).get(tag)?.digest
    if (digest !== undefined) this.goneFrom(repository).set(tag, digest)
    this.of(repository).delete(tag)
  }

  /** What expires: found by sorting everything, for each tag anew. */
  expiring(at: number): string[] {
    return REPOSITORIES.flatMap((repository) =>
      [...this.of(repository).keys()]
        .filter((tag) => this.isExpired(repository, tag, at))
        .map((tag) => `${repository}:${tag}`),
    ).sort()
  }

  private isExpired(repository: string, tag: string, at: number): boolean {
    const own = [...this.policies.values()].filter(({ repositories }) =>
      repositories.some((pattern) => new Bun.Glob(pattern).match(repository)),
    )
    if (isCompanionTag(tag)) return false
    if (own.some(({ keep }) => matches(keep, tag))) return false
    const covering = own.filter((policy) => covers(policy, tag))
    if (covering.some((policy) => this.keeps(policy, repository, tag, at))) return false
    if (this.immutable.has(repository)) return covering.some(({ includeImmutable }) => includeImmutable)
    return covering.length > 0
  }

  private keeps(policy: Policy, repository: string, tag: string, at: number): boolean {
    const pushed = this.pushed(repository, tag)
    const used = Math.max(pushed, this.of(repository).get(tag)?.pulledAt ?? 0)
    if (pushed + (policy.pushedDays ?? 0) * DAY > at) return true
    if (used + (policy.pulledDays ?? 0) * DAY > at) return true
    const counted = [...this.of(repository).keys()].filter(
      (one) => !isCompanionTag(one) && covers(policy, one) && !matches(policy.keep, one),
    )
    const order = (a: string, b: string) =>
      (policy.order === 'version' ? VERSIONS.indexOf(b) - VERSIONS.indexOf(a) : 0) ||
      this.pushed(repository, b) - this.pushed(repository, a) ||
      this.movedAt(repository, b) - this.movedAt(repository, a) ||
      (a < b ? 1 : -1)
    return counted
      .sort(order)
      .slice(0, policy.newest ?? 0)
      .includes(tag)
  }

  private movedAt(repository: string, tag: string): number {
    return this.of(repository).get(tag)?.updatedAt ?? 0
  }

  private pushed(repository: string, tag: string): number {
    const { digest = '' } = this.of(repository).get(tag) ?? {}
    return Math.max(this.movedAt(repository, tag), this.pushedAt.get(`${repository}@${digest}`) ?? 0)
  }
}

/** The tags that are versions, the oldest first. */
const VERSIONS = ['v1.2-rc1', 'v1.10', '2.0']

function covers({ tags, order }: Policy, tag: string): boolean {
  return matches(tags, tag) && (order === 'pushed' || VERSIONS.includes(tag))
}

function matches(patterns: string[], tag: string): boolean {
  return patterns.some((pattern) => new Bun.Glob(pattern).match(tag))
}
