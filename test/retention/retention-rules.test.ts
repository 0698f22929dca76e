import { expect, test } from 'bun:test'
import { parseTagPattern, tagMatcher } from '../../src/access/patterns.ts'
import {
  compilePolicies,
  type RetainedTag,
  type RetentionPolicy,
  retentionOf,
} from '../../src/retention/rules.ts'

const DAY = 86_400_000
const NOW = 1000 * DAY

const policy = (settings: Partial<RetentionPolicy>): RetentionPolicy => ({
  name: 'p',
  repositories: ['**'],
  tags: ['*'],
  order: 'pushed',
  keep: [],
  includeImmutable: false,
  ...settings,
})

/** Returns a tag that was pushed so many days ago. */
const tag = (name: string, days = 0, more: Partial<RetainedTag> = {}): RetainedTag => {
  const at = NOW - days * DAY
  return { name, pushedAt: at, updatedAt: at, lastPulledAt: null, isImmutable: false, ...more }
}

/** Returns the reason for each tag, marked with an x if it expires. */
function decide(policies: RetentionPolicy[], tags: RetainedTag[], pullsSince = 0): Record<string, string> {
  const retention = retentionOf(compilePolicies(policies), { at: NOW, pullsSince })
  for (const one of tags) retention.count(one)
  return Object.fromEntries(
    tags.map((one) => {
      const { expires, reason } = retention.verdict(one)
      return [one.name, `${expires ? 'x ' : ''}${reason}`]
    }),
  )
}

test('retention: keeps the newest tags by version, and does not touch tags that are no versions', () => {
  const tags = ['v1.9.0', 'v1.10.0', 'v1.10.0-rc1', '1.02', 'latest', 'sha-12'].map((name, n) => tag(name, n))
  expect(decide([policy({ newest: 2, order: 'version' })], tags)).toEqual({
    'v1.9.0': 'x not one of the newest 2 by version',
    'v1.10.0': 'one of the newest 2 by version',
    'v1.10.0-rc1': 'one of the newest 2 by version',
    '1.02': 'x not one of the newest 2 by version',
    latest: 'no policy covers it',
    'sha-12': 'no policy covers it',
  })
})

test('retention: keeps the newest tags by push time; signatures and tags that are kept by name are not counted', () => {
  const signature = `sha256-${'0'.repeat(64)}.sig`
  const tags = [tag('latest'), tag(signature), tag('b', 2), tag('c', 3)]
  expect(decide([policy({ newest: 1, keep: ['latest'] })], tags)).toEqual({
    latest: 'matches "latest"',
    [signature]: 'belongs to another manifest and is deleted with it',
    b: 'one of the newest 1 by push time',
    c: 'x not one of the newest 1 by push time',
  })
})

test('retention: a pull or a push keeps a tag, and a tag from before pulls were counted counts as pulled then', () => {
  const pulled = { lastPulledAt: NOW - 4 * DAY }
  const tags = [tag('used', 90, pulled), tag('old', 90), tag('new', 4), tag('edge', 5)]
  const policies = [policy({ pulledDays: 5 })]
  expect(decide(policies, tags)).toEqual({
    used: 'pulled or pushed within 5 days',
    old: 'x last pulled or pushed 90 days ago',
    new: 'pulled or pushed within 5 days',
    edge: 'x last pulled or pushed 5 days ago',
  })
  expect(decide(policies, tags, NOW - DAY).old).toBe('pulled or pushed within 5 days')
})

test('retention: what any policy of the repository keeps stays', () => {
  const tags = [tag('pr-1', 9), tag('main', 9)]
  const policies = [policy({ tags: ['pr-*'], pushedDays: 5 }), policy({ name: 'q', pushedDays: 10 })]
  expect(decide(policies, tags)).toEqual({ 'pr-1': 'pushed within 10 days', main: 'pushed within 10 days' })
  expect(decide(policies.slice(0, 1), tags)).toEqual({
    'pr-1': 'x pushed 9 days ago',
    main: 'no policy covers it',
  })
})

test('retention: an immutable tag expires only by a policy that says so', () => {
  const tags = [tag('v1', 9, { isImmutable: true })]
  expect(decide([policy({ pushedDays: 5 })], tags)).toEqual({ v1: 'is immutable' })
  expect(decide([policy({ pushedDays: 5, includeImmutable: true })], tags)).toEqual({
    v1: 'x pushed 9 days ago',
  })
})

test('retention: a policy that keeps nothing is refused', () => {
  expect(() => compilePolicies([policy({})])).toThrow('keeps nothing')
})

test('tag patterns: match in linear time, and anything but a glob of tags is refused', () => {
  const began = performance.now()
  expect(tagMatcher(['*a'.repeat(63)])('a'.repeat(127))).toBe('*a'.repeat(63))
  expect(tagMatcher([`${'*a'.repeat(63)}b`])('a'.repeat(128))).toBeUndefined()
  expect(performance.now() - began).toBeLessThan(100)
  for (const bad of ['', '{a,b}', 'a/b', '(a+)+', '[', 'a'.repeat(129)])
    expect(() => parseTagPattern(bad)).toThrow('is not a pattern for tags')
})
