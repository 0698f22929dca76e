import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { formatUploadRange, parseContentRange, parseRange } from '../../src/oci/reference.ts'
import { longInputs, millisecondsOf } from '../support/parsing.ts'

describe('the range of a download', () => {
  test.each([
    ['bytes=0-0', 10, { start: 0, end: 1 }],
    ['bytes=2-4', 10, { start: 2, end: 5 }],
    ['bytes=2-', 10, { start: 2, end: 10 }],
    ['bytes=2-99', 10, { start: 2, end: 10 }],
    ['bytes=-3', 10, { start: 7, end: 10 }],
    ['bytes=-99', 10, { start: 0, end: 10 }],
    ['BYTES=0-', 10, { start: 0, end: 10 }],
    ['bytes=10-', 10, 'unsatisfiable'],
    ['bytes=10-20', 10, 'unsatisfiable'],
    ['bytes=5-0', 10, 'unsatisfiable'],
    ['bytes=-0', 10, 'unsatisfiable'],
    ['bytes=0-', 0, 'unsatisfiable'],
    ['bytes=-1', 0, 'unsatisfiable'],
    ['bytes=-', 10, undefined],
    ['bytes=0-1,3-4', 10, undefined],
    ['lines=0-1', 10, undefined],
    ['bytes', 10, undefined],
    ['', 10, undefined],
    ['bytes=a-b', 10, undefined],
    ['bytes=99999999999999999-', 10, undefined],
  ] as const)('%j of %d bytes: %j', (header, size, range) => {
    expect(parseRange(header, size)).toEqual(range as never)
  })

  test('is a non-empty part of the content', () => {
    const headers = fc.oneof(
      fc.string(),
      fc.tuple(fc.option(fc.nat(40)), fc.option(fc.nat(40))).map(([a, b]) => `bytes=${a ?? ''}-${b ?? ''}`),
    )
    fc.assert(
      fc.property(headers, fc.nat(20), (header, size) => {
        const range = parseRange(header, size)
        if (typeof range !== 'object') return
        expect(range.start).toBeGreaterThanOrEqual(0)
        expect(range.end).toBeGreaterThan(range.start)
        expect(range.end).toBeLessThanOrEqual(size)
      }),
    )
  })
})

describe('the range of a chunk', () => {
  test.each([
    ['0-0', { start: 0, last: 0 }],
    ['5-9', { start: 5, last: 9 }],
    [' 5-9 ', { start: 5, last: 9 }],
    ['bytes 5-9/*', { start: 5, last: 9 }],
    ['bytes=5-9', { start: 5, last: 9 }],
    ['5-9/10', { start: 5, last: 9 }],
    ['5', undefined],
    ['5-', undefined],
    ['-9', undefined],
    ['a-b', undefined],
    ['5-9-', undefined],
    ['', undefined],
  ])('%j: %j', (header, range) => expect(parseContentRange(header)).toEqual(range))

  test('round-trips as clients write it', () => {
    fc.assert(
      fc.property(fc.nat(), fc.nat(), (start, last) => {
        expect(parseContentRange(`${start}-${last}`)).toEqual({ start, last })
      }),
    )
  })
})

test.each([
  [0, '0-0'],
  [1, '0-0'],
  [2, '0-1'],
  [1024, '0-1023'],
])('range: an upload of %d bytes reports %s', (size, text) => expect(formatUploadRange(size)).toBe(text))

test('range: a long header is parsed in linear time', () => {
  for (const text of longInputs(100_000)) {
    expect(millisecondsOf(() => parseRange(text, 10))).toBeLessThan(20)
    expect(millisecondsOf(() => parseContentRange(text))).toBeLessThan(20)
  }
})
