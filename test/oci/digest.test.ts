import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import {
  algorithmOf,
  digestFromBytes,
  digestFromHex,
  digestToBytes,
  hexOf,
  parseDigest,
  tryParseDigest,
} from '../../src/oci/reference.ts'
import { codeOf, longInputs, millisecondsOf } from '../support/parsing.ts'

const hex = (length: number) =>
  fc.string({ unit: fc.constantFrom(...'0123456789abcdef'), minLength: length, maxLength: length })
const digests = fc.oneof(
  hex(64).map((text) => `sha256:${text}`),
  hex(128).map((text) => `sha512:${text}`),
)
const a64 = 'a'.repeat(64)

describe('a digest', () => {
  test.each([
    [`sha256:${a64}`, 'none'],
    [`sha512:${a64}${a64}`, 'none'],
    ['', 'DIGEST_INVALID'],
    ['sha256', 'DIGEST_INVALID'],
    ['sha256:', 'DIGEST_INVALID'],
    [`sha256:${a64}a`, 'DIGEST_INVALID'],
    [`sha256:${a64.slice(1)}`, 'DIGEST_INVALID'],
    [`sha256:${a64.toUpperCase()}`, 'DIGEST_INVALID'],
    [`sha256:${'g'.repeat(64)}`, 'DIGEST_INVALID'],
    [`SHA256:${a64}`, 'DIGEST_INVALID'],
    [` sha256:${a64}`, 'DIGEST_INVALID'],
    [`sha256:${a64.slice(1)}\n`, 'DIGEST_INVALID'],
    [`sha512:${a64}`, 'DIGEST_INVALID'],
    [`md5:${'a'.repeat(32)}`, 'DIGEST_INVALID'],
    [`sha384:${'a'.repeat(96)}`, 'DIGEST_INVALID'],
    [`blake3:${a64}`, 'DIGEST_INVALID'],
    [`:${a64}`, 'DIGEST_INVALID'],
    [`constructor:${a64}`, 'DIGEST_INVALID'],
  ])('%j: %s', (text, code) => {
    expect(codeOf(() => parseDigest(text))).toBe(code)
    expect(tryParseDigest(text)).toBe(code === 'none' ? (text as never) : undefined)
  })

  test('round-trips through the bytes in the database', () => {
    fc.assert(
      fc.property(digests, (text) => {
        const digest = parseDigest(text)
        expect(digestToBytes(digest).length).toBe(algorithmOf(digest) === 'sha256' ? 32 : 64)
        expect(digestFromBytes(digestToBytes(digest))).toBe(digest)
        expect(digestFromHex(algorithmOf(digest), hexOf(digest))).toBe(digest)
      }),
    )
  })

  test('can be read from a part of a larger buffer', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 32, maxLength: 32 }), (bytes) => {
        const larger = new Uint8Array(50)
        larger.set(bytes, 9)
        expect(digestFromBytes(larger.subarray(9, 41))).toBe(digestFromBytes(bytes))
      }),
    )
  })

  test('from any text is either returned unchanged or throws DIGEST_INVALID', () => {
    const nearly = fc
      .tuple(digests, fc.nat(140), fc.string({ maxLength: 2 }))
      .map(([text, at, more]) => text.slice(0, at) + more + text.slice(at + 1))
    fc.assert(
      fc.property(fc.oneof(fc.string(), nearly), (text) => {
        const isDigest = /^(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/.test(text)
        expect(codeOf(() => parseDigest(text))).toBe(isDigest ? 'none' : 'DIGEST_INVALID')
      }),
    )
  })

  test('is parsed in linear time, and its error quotes only the beginning', () => {
    for (const text of longInputs(100_000)) {
      expect(millisecondsOf(() => codeOf(() => parseDigest(text)))).toBeLessThan(20)
      expect(() => parseDigest(text)).toThrow(/^.{1,400}$/s)
    }
  })
})
