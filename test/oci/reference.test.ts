import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import {
  companionTags,
  formatReference,
  isCompanionTag,
  parseDigest,
  parseReference,
  parseRepositoryName,
  parseTag,
  REPOSITORY_NAME_CHARACTERS_MAX,
  referrersTag,
  tryParseTag,
} from '../../src/oci/reference.ts'
import { codeOf, longInputs, millisecondsOf } from '../support/parsing.ts'

/** The grammars from the distribution-spec ("Pulling manifests"). */
const NAME = /^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$/
const TAG = /^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$/
const sha256 = `sha256:${'0'.repeat(64)}`

describe('a repository name', () => {
  test.each([
    'a',
    '0',
    'a/b',
    'a/b/c/d/e/f',
    'a.b',
    'a_b',
    'a__b',
    'a-b',
    'a---b',
    'docker.io/library/alpine',
    'list',
    'tags/list',
  ])('%s is valid', (text) => expect(parseRepositoryName(text)).toBe(text as never))

  test.each([
    '',
    'A',
    'a/',
    '/a',
    'a//b',
    'a..b',
    'a___b',
    '.a',
    'a.',
    '-a',
    'a-',
    '_a',
    'a._b',
    'a b',
    'a:b',
    'a\n',
    'ä',
    '..',
    'a/../b',
    'a%2fb',
  ])('%j is invalid', (text) => expect(codeOf(() => parseRepositoryName(text))).toBe('NAME_INVALID'))

  test('may be as long as clients allow together with the host', () => {
    const name = 'a'.repeat(REPOSITORY_NAME_CHARACTERS_MAX)
    expect(codeOf(() => parseRepositoryName(name))).toBe('none')
    expect(codeOf(() => parseRepositoryName(`${name}a`))).toBe('NAME_INVALID')
  })

  test('follows the grammar of the specification', () => {
    const texts = fc.string({ unit: fc.constantFrom(...'ab0._-/A '), maxLength: 12 })
    fc.assert(
      fc.property(texts, (text) => {
        expect(codeOf(() => parseRepositoryName(text))).toBe(NAME.test(text) ? 'none' : 'NAME_INVALID')
      }),
      { numRuns: 1000 },
    )
  })
})

describe('a tag', () => {
  test.each(['latest', '_', '1.0', 'v1.0.0-rc.1_2', 'a'.repeat(128), 'UPPER', 'list'])(
    '%s is valid',
    (text) => {
      expect(parseTag(text)).toBe(text as never)
    },
  )

  test.each(['', '.a', '-a', 'a'.repeat(129), 'a b', 'a+b', 'a/b', 'a:b', 'a\n', 'é'])(
    '%j is invalid',
    (text) => {
      expect(tryParseTag(text)).toBeUndefined()
      expect(codeOf(() => parseTag(text))).toBe('MANIFEST_INVALID')
    },
  )

  test('follows the grammar of the specification', () => {
    const texts = fc.oneof(
      fc.string({ maxLength: 4 }),
      fc.string({ unit: fc.constantFrom(...'aZ0._-+'), maxLength: 140 }),
    )
    fc.assert(
      fc.property(texts, (text) => {
        expect(tryParseTag(text) !== undefined).toBe(TAG.test(text))
      }),
      { numRuns: 1000 },
    )
  })
})

describe('a reference', () => {
  test('with a colon is a digest, otherwise a tag', () => {
    expect(parseReference(sha256)).toEqual({ digest: parseDigest(sha256) })
    expect(parseReference('latest')).toEqual({ tag: parseTag('latest') })
    expect(codeOf(() => parseReference('sha256:baddigeststring'))).toBe('DIGEST_INVALID')
    expect(codeOf(() => parseReference('a+b'))).toBe('MANIFEST_INVALID')
  })

  test('round-trips, and any other text throws the error of its kind', () => {
    const texts = fc.oneof(fc.string(), fc.constant(sha256), fc.stringMatching(/^[a-zA-Z0-9_.:-]{1,20}$/))
    fc.assert(
      fc.property(texts, (text) => {
        const code = codeOf(() => parseReference(text))
        expect(['none', text.includes(':') ? 'DIGEST_INVALID' : 'MANIFEST_INVALID']).toContain(code)
        if (code === 'none') expect(formatReference(parseReference(text))).toBe(text)
      }),
    )
  })

  test('is parsed in linear time', () => {
    for (const text of longInputs(100_000)) {
      expect(millisecondsOf(() => codeOf(() => parseReference(text)))).toBeLessThan(20)
      expect(millisecondsOf(() => codeOf(() => parseRepositoryName(text)))).toBeLessThan(20)
    }
    for (const text of longInputs(REPOSITORY_NAME_CHARACTERS_MAX - 10)) {
      expect(millisecondsOf(() => codeOf(() => parseRepositoryName(text)))).toBeLessThan(20)
    }
  })
})

test('tags: those that serve another manifest have their own form', () => {
  const digests = [sha256, `sha512:${'1'.repeat(128)}`].map(parseDigest)
  for (const digest of digests)
    expect(companionTags(digest).filter((tag) => !isCompanionTag(tag))).toEqual([])
  for (const tag of ['1.0', 'sha256-12', `sha256-${'0'.repeat(63)}`, `sha256-${'0'.repeat(64)}.txt`])
    expect([tag, isCompanionTag(tag)]).toEqual([tag, false])
})

test("tags: a subject's referrers tag is the one that clients compute", () => {
  expect(referrersTag(parseDigest(sha256))).toBe(`sha256-${'0'.repeat(64)}` as never)
  expect(referrersTag(parseDigest(`sha512:${'1'.repeat(128)}`))).toBe(`sha512-${'1'.repeat(64)}` as never)
})
