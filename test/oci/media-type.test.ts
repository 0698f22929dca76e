import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { isMediaType, isNonDistributable, parseContentType } from '../../src/oci/manifest.ts'
import { longInputs, millisecondsOf } from '../support/parsing.ts'

describe('a Content-Type', () => {
  test.each([
    ['application/json', 'application/json'],
    [
      'application/vnd.oci.image.manifest.v1+json; charset=utf-8',
      'application/vnd.oci.image.manifest.v1+json',
    ],
    [' a/b ;c', 'a/b'],
    ['a/b', 'a/b'],
    ['application', undefined],
    ['/json', undefined],
    ['a/', undefined],
    ['a/b/c', undefined],
    ['a b/c', undefined],
    ['a/b\n', 'a/b'],
    ['a/b\r\nx: y', undefined],
    ['text/<script>', undefined],
    [`a/${'b'.repeat(128)}`, undefined],
    ['', undefined],
    [';', undefined],
  ])('%j: %s', (header, type) => expect(parseContentType(header)).toBe(type))

  test('that is accepted can be sent back in a header', () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), (a, b) => {
        const type = parseContentType(`${a}/${b}`)
        if (type === undefined) return
        expect(type).toMatch(/^[!-~]{3,255}$/)
        expect(isMediaType(type)).toBe(true)
      }),
    )
  })

  test('is parsed in linear time', () => {
    for (const text of longInputs(100_000))
      expect(millisecondsOf(() => parseContentType(text))).toBeLessThan(20)
  })
})

test.each([
  ['application/vnd.oci.image.layer.nondistributable.v1.tar+gzip', true],
  ['application/vnd.docker.image.rootfs.foreign.diff.tar.gzip', true],
  ['application/vnd.oci.image.layer.v1.tar+gzip', false],
  ['application/vnd.docker.image.rootfs.diff.tar.gzip', false],
])('media type: a layer of type %s need not be stored: %p', (type, answer) =>
  expect(isNonDistributable(type)).toBe(answer),
)
