import { expect, test } from 'bun:test'
import {
  countOf,
  formatAge,
  formatBytes,
  formatShare,
  safeUrl,
  shortDigest,
  visible,
} from '../../src/page/values/format.ts'

test('page: sizes have at most three digits and binary units', () => {
  expect([0, 999, 1536, 12_900_000, 130_023_424].map(formatBytes)).toEqual([
    '0 B',
    '999 B',
    '1.5 KiB',
    '12.3 MiB',
    '124 MiB',
  ])
})

test('page: times are relative to now', () => {
  const now = Date.UTC(2026, 0, 10)
  const ages = [-3_000, -90_000, -3_600_000 * 5, -86_400_000 * 40, 86_400_000 * 2 - 5000]
  expect(ages.map((age) => formatAge(new Date(now + age).toISOString(), now))).toEqual([
    'just now',
    '1 minute ago',
    '5 hours ago',
    'last month',
    'in 2 days',
  ])
})

test('page: a share of nothing has no percentage, and only all of it is 100%', () => {
  expect([formatShare(0, 0), formatShare(0, 5), formatShare(999, 1000), formatShare(7, 7)]).toEqual([
    'none',
    '0%',
    '99%',
    '100%',
  ])
})

test('page: counts agree with their nouns', () => {
  expect([countOf(1, 'tag'), countOf(1200, 'tag'), countOf(2, 'entry', 'entries')]).toEqual([
    '1 tag',
    '1,200 tags',
    '2 entries',
  ])
})

test('page: only addresses of http and https become links', () => {
  expect(safeUrl('https://example.com/a')).toBe('https://example.com/a')
  for (const text of [
    'javascript:alert(1)',
    ' https://a',
    'data:text/html,x',
    '//example.com',
    'https://',
    'text',
  ])
    expect(safeUrl(text)).toBeUndefined()
})

test('page: characters that are invisible or change the direction are shown', () => {
  expect(visible('safe\u202egpj.exe\u200b')).toBe('safe␣202egpj.exe␣200b')
  expect(visible('a\u{e0041}')).toBe('a␣e0041')
  expect(visible('two\nlines, ünïcode')).toBe('two\nlines, ünïcode')
})

test('page: a digest is shortened to twelve digits', () => {
  expect(shortDigest('sha256:0123456789abcdef')).toBe('0123456789ab')
})
