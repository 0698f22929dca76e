import { expect, test } from 'bun:test'
import fc from 'fast-check'
import { hasMoreItems, isNestedDeep, JSON_LEVELS_MAX } from '../../src/oci/image-config.ts'

const isDeep = (text: string) => isNestedDeep(Buffer.from(text))
const nested = (levels: number) => `${'[{"a":'.repeat(levels / 2)}1${'}]'.repeat(levels / 2)}`

test.each<[text: string, expected: boolean]>([
  [nested(JSON_LEVELS_MAX), false],
  [nested(JSON_LEVELS_MAX + 2), true],
  ['['.repeat(1e6), true],
  [`[${'[],'.repeat(1000)}{}]`, false],
  [JSON.stringify({ a: '['.repeat(1000), b: `\\"${'{'.repeat(1000)}` }), false],
  [`{"a\\"": ${nested(JSON_LEVELS_MAX)}}`, true],
  ['"\\', false],
  ['', false],
])('%.30s', (text, expected) => expect(isDeep(text)).toBe(expected))

test('JSON depth: documents of ordinary depth are accepted, whatever their strings contain', () => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 20 }), (value) => expect(isDeep(JSON.stringify(value))).toBe(false)),
  )
})

test.each<[value: unknown, items: number]>([
  [[1, 2, 3], 3],
  [{ a: 1, b: { c: '","' } }, 3],
  [[[], [{}]], 5],
])('JSON items: %j has no more items than commas and brackets', (value, items) => {
  const padded = Buffer.from(JSON.stringify(value).padEnd(50))
  expect([hasMoreItems(padded, items), hasMoreItems(padded, items - 1)]).toEqual([false, true])
})
