import coerce from 'semver/functions/coerce'
import compare from 'semver/functions/compare'
import {
  type FindPattern,
  matchesPattern,
  parseRepositoryPattern,
  parseTagPattern,
  tagMatcher,
} from '../access/patterns.ts'
import type { RetentionSchema } from '../config/schema.ts'
import { registryError } from '../oci/error.ts'
import { isCompanionTag, type RepositoryName } from '../oci/reference.ts'

/*
 * The rules by which retention decides on tags. They read nothing, so the server's tests of policies and the writer, which
 * expires tags, decide alike.
 */

/** What retention considers of a tag. Times are milliseconds since 1970. */
export interface RetainedTag {
  name: string
  /** When it was last pushed, or restored. */
  pushedAt: number
  /** When it was last moved. */
  updatedAt: number
  lastPulledAt: number | null
  isImmutable: boolean
}

/** Whether a tag stays. */
export interface Verdict {
  expires: boolean
  /** The policy that decided; undefined if none did. */
  policy: string | undefined
  /** Why, in words for people. */
  reason: string
  /** When the tag may expire if it is neither pushed nor pulled until then; undefined if only a change can expire it. */
  until: number | undefined
}

/** Decides on the tags of one repository. */
export interface Retention {
  /** Whether all tags must be counted before the first decision. */
  needsCount: boolean
  /** Counts a tag for the rules that keep the newest ones. */
  count(tag: RetainedTag): void
  verdict(tag: RetainedTag): Verdict
}

export interface RetentionClock {
  /** Milliseconds since 1970. */
  at: number
  /** When the counting of pulls began: every tag counts as pulled then. */
  pullsSince: number
}

const DAY_MS = 86_400_000

/** @param policies those of the repository */
export function retentionOf(policies: readonly CompiledPolicy[], clock: RetentionClock): Retention {
  const rules = policies.filter(({ hasTagRule }) => hasTagRule).map((compiled) => new TagRule(compiled))
  return {
    needsCount: rules.some(({ policy }) => policy.newest !== undefined),

    count(tag) {
      if (isCompanionTag(tag.name)) return
      for (const rule of rules) rule.count(tag)
    },

    verdict: (tag) => verdictOf(tag, rules, clock),
  }
}

function verdictOf(tag: RetainedTag, rules: TagRule[], clock: RetentionClock): Verdict {
  if (isCompanionTag(tag.name)) return kept(undefined, 'belongs to another manifest and is deleted with it')
  for (const { compiled } of rules) {
    const pattern = compiled.keeps(tag.name)
    if (pattern !== undefined) return kept(compiled.policy, `matches "${pattern}"`)
  }
  const covering = rules.filter((rule) => rule.covers(tag.name))
  const newest = covering.find((rule) => rule.isNewest(tag))
  if (newest !== undefined) return kept(newest.policy, newest.rank())
  const ends = covering.flatMap((rule) => rule.ends(tag, clock))
  const last = ends.reduce<TimedEnd | undefined>((a, b) => (a && a.at >= b.at ? a : b), undefined)
  if (last !== undefined && last.at > clock.at) return kept(last.policy, last.reason, last.at)
  const expiring = tag.isImmutable ? covering.find(({ policy }) => policy.includeImmutable) : covering[0]
  if (expiring !== undefined) {
    const { policy } = expiring
    return { expires: true, policy: policy.name, reason: expiring.lapsed(tag, clock), until: undefined }
  }
  return kept(undefined, covering.length > 0 ? 'is immutable' : 'no policy covers it')
}

function kept(policy: RetentionPolicy | undefined, reason: string, until?: number): Verdict {
  return { expires: false, policy: policy?.name, reason, until }
}

/** When a rule no longer keeps a tag. */
interface TimedEnd {
  at: number
  policy: RetentionPolicy
  reason: string
}

interface Ranked {
  tag: RetainedTag
  version: TagVersion | undefined
}

/** One policy's rules for tags. */
class TagRule {
  readonly compiled: CompiledPolicy
  readonly policy: RetentionPolicy
  /** The newest tags so far, the oldest of them first. */
  private readonly newest: Ranked[] = []

  constructor(compiled: CompiledPolicy) {
    this.compiled = compiled
    this.policy = compiled.policy
  }

  covers(name: string): boolean {
    if (this.compiled.covers(name) === undefined) return false
    return this.policy.order === 'pushed' || versionOf(name) !== undefined
  }

  count(tag: RetainedTag): void {
    const { newest: limit } = this.policy
    if (limit === undefined || !this.covers(tag.name) || this.compiled.keeps(tag.name) !== undefined) return
    const ranked = this.ranked(tag)
    const [oldest] = this.newest
    const isFull = this.newest.length >= limit
    if (isFull && oldest !== undefined && compareRanks(ranked, oldest) < 0) return
    this.newest.splice(placeOf(this.newest, ranked), 0, ranked)
    if (isFull) this.newest.shift()
  }

  /** Whether the tag is one of the newest. One that was pushed since the count is. */
  isNewest(tag: RetainedTag): boolean {
    const { newest: limit } = this.policy
    if (limit === undefined) return false
    const [oldest] = this.newest
    if (oldest === undefined || this.newest.length < limit) return true
    return compareRanks(this.ranked(tag), oldest) >= 0
  }

  /** `one of the newest 10 by version` */
  rank(): string {
    const { newest = 0, order } = this.policy
    return `one of the newest ${newest} by ${order === 'version' ? 'version' : 'push time'}`
  }

  ends(tag: RetainedTag, clock: RetentionClock): TimedEnd[] {
    const { policy } = this
    const { pushedDays, pulledDays } = policy
    const ends: TimedEnd[] = []
    const keep = (from: number, days: number, what: string) =>
      ends.push({ at: from + days * DAY_MS, policy, reason: `${what} within ${plural(days)}` })
    if (pushedDays !== undefined) keep(tag.pushedAt, pushedDays, 'pushed')
    if (pulledDays !== undefined) keep(usedAt(tag, clock), pulledDays, 'pulled or pushed')
    return ends
  }

  /** Says why no rule keeps the tag: `not one of the newest 10 by version, pushed 40 days ago`. */
  lapsed(tag: RetainedTag, clock: RetentionClock): string {
    const { newest, pushedDays, pulledDays, keep } = this.policy
    const ago = (time: number) => `${plural(Math.floor(Math.max(0, clock.at - time) / DAY_MS))} ago`
    const parts: string[] = []
    if (newest !== undefined) parts.push(`not ${this.rank()}`)
    if (pushedDays !== undefined) parts.push(`pushed ${ago(tag.pushedAt)}`)
    if (pulledDays !== undefined) parts.push(`last pulled or pushed ${ago(usedAt(tag, clock))}`)
    if (parts.length > 0) return parts.join(', ')
    return `does not match ${keep.map((one) => `"${one}"`).join(' or ')}`
  }

  private ranked(tag: RetainedTag): Ranked {
    return { tag, version: this.policy.order === 'version' ? versionOf(tag.name) : undefined }
  }
}

/** Orders tags by version if they have one, then by when they were pushed and moved, then by name: no two are equal. */
function compareRanks(a: Ranked, b: Ranked): number {
  // Semver 2.0.0, 11.
  const byVersion = a.version && b.version ? compare(a.version, b.version) : 0
  if (byVersion !== 0) return byVersion
  const byTime = a.tag.pushedAt - b.tag.pushedAt || a.tag.updatedAt - b.tag.updatedAt
  if (byTime !== 0) return byTime
  return a.tag.name < b.tag.name ? -1 : Number(a.tag.name > b.tag.name)
}

/** Returns where to insert an entry into a sorted list. */
function placeOf(sorted: readonly Ranked[], entry: Ranked): number {
  let low = 0
  let high = sorted.length
  while (low < high) {
    const middle = (low + high) >> 1
    if (compareRanks(sorted[middle] as Ranked, entry) < 0) low = middle + 1
    else high = middle
  }
  return low
}

/** A push counts as a use, so that a tag has its time to be pulled. */
function usedAt({ pushedAt, lastPulledAt }: RetainedTag, { pullsSince }: RetentionClock): number {
  return Math.max(pushedAt, lastPulledAt ?? 0, pullsSince)
}

function plural(days: number): string {
  return days === 1 ? '1 day' : `${days} days`
}

/**
 * Decides which tags of its repositories expire. A tag that it covers expires unless one of its rules, or one of another
 * policy of the repository, keeps the tag.
 */
export type RetentionPolicy = typeof RetentionSchema.static

/** A policy with its patterns ready to match. */
export interface CompiledPolicy {
  policy: RetentionPolicy
  matches: (repository: RepositoryName) => boolean
  /** Whether it decides on tags, and not only on manifests without one. */
  hasTagRule: boolean
  covers: FindPattern
  keeps: FindPattern
}

/** Prepares policies, in the order of their names. Throws NAME_INVALID or REQUEST_INVALID. */
export function compilePolicies(policies: readonly RetentionPolicy[]): CompiledPolicy[] {
  return policies.map(compile).sort((a, b) => (a.policy.name < b.policy.name ? -1 : 1))
}

function compile(policy: RetentionPolicy): CompiledPolicy {
  const { newest, pushedDays, pulledDays, untaggedDays } = policy
  const patterns = policy.repositories.map(parseRepositoryPattern)
  const hasTagRule = (newest ?? pushedDays ?? pulledDays) !== undefined || policy.keep.length > 0
  if (!hasTagRule && untaggedDays === undefined) {
    throw registryError(
      'REQUEST_INVALID',
      `retention policy ${policy.name} keeps nothing: set at least one of newest, pushed-days, pulled-days, keep and ` +
        'untagged-days',
    )
  }
  return {
    policy,
    matches: (repository) => patterns.some((pattern) => matchesPattern(pattern, repository)),
    hasTagRule,
    covers: tagMatcher(policy.tags.map(parseTagPattern)),
    keeps: tagMatcher(policy.keep.map(parseTagPattern)),
  }
}

/** A version, for comparisons. */
type TagVersion = NonNullable<ReturnType<typeof coerce>>

/** Returns the version that a tag names, such as 1.2.3 for `v1.2.3` and 22.4.0 for `22.04`; undefined for other tags. */
function versionOf(tag: string): TagVersion | undefined {
  if (!/^[vV]?\d/.test(tag)) return undefined
  return coerce(tag, { includePrerelease: true, loose: true }) ?? undefined
}
