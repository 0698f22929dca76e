import { registryError } from '../../oci/error.ts'
import type { RepositoryName } from '../../oci/reference.ts'
import { matchesPattern, parseRepositoryPattern } from '../repository-pattern.ts'
import { type FindPattern, parseTagPattern, tagMatcher } from './tag-pattern.ts'

/**
 * Decides which tags of its repositories expire. A tag that it covers expires unless one of its rules, or one of another
 * policy of the repository, keeps the tag.
 */
export interface RetentionPolicy {
  name: string
  /** Patterns of repositories. */
  repositories: string[]
  /** Patterns of the tags that can expire. */
  tags: string[]
  /** Keeps this many of the newest tags. */
  newest?: number | undefined
  /** What `newest` orders by. By version, only tags that are versions are covered. */
  order: 'pushed' | 'version'
  /** Keeps tags that were pushed within this many days. */
  pushedDays?: number | undefined
  /** Keeps tags that were pulled or pushed within this many days. */
  pulledDays?: number | undefined
  /** Keeps the tags that match these patterns, and does not count them as `newest`. */
  keep: string[]
  /** Days after which a manifest that never had a tag becomes garbage. */
  untaggedDays?: number | undefined
  /** Whether immutable tags can expire, too. */
  includeImmutable: boolean
}

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
  const hasTagRule = [newest, pushedDays, pulledDays].some(isSet) || policy.keep.length > 0
  if (!hasTagRule && !isSet(untaggedDays)) {
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

function isSet(value: number | undefined): boolean {
  return value !== undefined
}
